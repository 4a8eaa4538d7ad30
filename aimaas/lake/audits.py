"""The table `audits`: the offsets of silver and gold that a gate has judged, and its verdicts. Rows that passed are published.

The newest audit of a table is its state. Each audit continues where the last one ended, so the published part of silver is
everything below one offset of each partition. A failed audit publishes nothing: its offsets, and all after them, wait until they
pass or a person resolves them. The gold job reads only published offsets, and training only published versions of gold.

An audit is one Delta commit, numbered for its table (Delta's transaction version): of two gates that judge at once, one fails. A
lake of an older release has no such table: its gold then counts as published, and the first gate records that.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from aimaas.errors import LakeError
from aimaas.fleet import FleetSpec
from aimaas.lake.tables import Offsets, arrow_dataset, ends_at, find_table, note_in, offsets_json, offsets_of, table_uri
from aimaas.lake.torn_files import reading
from aimaas.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable

Gated = Literal["silver", "gold"]
Judged = Gated | Literal["day"]
"""The subject of an audit: the new rows of a table, or a rebuilt day of silver (aimaas.lake.rebuilt_days)."""
Verdict = Literal["before", "passed", "failed", "acknowledged", "set aside", "rebuilt"]
"""`before`: in gold before there were audits. `set aside`: the failing rows went to quarantine, the others passed. `rebuilt`: a day
that no gate has judged since."""

GATED: tuple[Gated, ...] = ("silver", "gold")
_PUBLISHING = ("before", "passed", "acknowledged")  # a version of gold; without failing rows it is another version
_TRIES = 5
_NUMBERS = ("number", "version", "rows", "refused", "carried", "carried_refused")


class Failure(msgspec.Struct, frozen=True):
    """A failed critical expectation: the observed and the allowed value."""

    subject: str
    expectation: str
    observed: str
    allowed: str

    def __str__(self) -> str:
        """The failure as one line."""
        return f"{self.subject} {self.expectation}: {self.observed}, expected {self.allowed}"


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """One verdict on the rows at offsets in [start, end) (JSON) of one `version` of the table `table_id`.

    `made_of` is the note of a version of gold, and for a day's audit the day; empty if that version has rows after `end`.
    `suite` is the suite as JSON, `rows` and `refused` count records. `carried` records, `carried_refused` of them refused, were too
    few to judge the refused share, and count with the next.
    """

    number: int
    table: Judged
    verdict: Verdict
    start: str
    end: str
    version: int
    table_id: str
    at: datetime
    by: str
    made_of: str = ""
    suite: str = "[]"
    failures: tuple[Failure, ...] = ()
    rows: int = 0
    refused: int = 0
    carried: int = 0
    carried_refused: int = 0
    why: str = ""
    docs: str = ""

    @property
    def of_table(self) -> Gated:
        """The table whose rows were judged: silver, also for a rebuilt day."""
        return "silver" if self.table == "day" else self.table

    @property
    def published(self) -> Offsets:
        """The ends of the published rows after this verdict."""
        return offsets_of(self.start if self.verdict == "failed" else self.end)

    @property
    def span(self) -> str:
        """The judged offsets as text: `topic/partition/first to last`."""
        first = offsets_of(self.start)
        ends = sorted(offsets_of(self.end).items())
        parts = [f"{at[0]}/{at[1]}/{first.get(at, 0)} to {end - 1}" for at, end in ends if end > first.get(at, 0)]
        return ", ".join(parts) or "no offset"


def newest_audit(settings: Settings, fleet: FleetSpec, table: Gated) -> Audit | None:
    """The newest audit of the present table; None if there is none, or if the table was created again since."""
    found = find_table(settings, fleet.fleet, "audits")
    number = 0 if found is None else _number(found, table)
    if found is None or not number:
        return None
    (audit,) = map(_audit, _rows_of(found, table, number=number))
    judged = find_table(settings, fleet.fleet, table)
    return audit if judged is not None and judged.metadata().id == audit.table_id else None


def next_number(settings: Settings, fleet: FleetSpec, table: Judged) -> int:
    """The number of a table's next audit; read it before the rows."""
    found = find_table(settings, fleet.fleet, "audits")
    return 1 if found is None else _number(found, table) + 1


def published_offsets(settings: Settings, fleet: FleetSpec) -> Offsets:
    """The ends of the rows of silver that passed their gate, by topic and partition."""
    if find_table(settings, fleet.fleet, "audits") is None:
        return _gold_ends(settings, fleet)
    audit = newest_audit(settings, fleet, "silver")
    return {} if audit is None else audit.published


def published_gold(settings: Settings, fleet: FleetSpec, version: int) -> int | None:
    """The newest version of gold, up to `version`, that passed its gate; None if no version did.

    A version with another note is not published. A version that only moved rows to other files is published if the last one was.
    """
    found, gold = find_table(settings, fleet.fleet, "audits"), find_table(settings, fleet.fleet, "gold")
    if found is None or gold is None:
        return None if gold is None else version
    columns = ["verdict", "version", "made_of"]
    mine = _rows_of(found, "gold", columns, table_id=str(gold.metadata().id))
    if any(a["verdict"] == "before" and a["version"] >= version for a in mine):
        return version
    passed = {a["version"]: a["made_of"] for a in mine if a["verdict"] in _PUBLISHING and a["made_of"]}
    earlier = {number: made_of for number, made_of in passed.items() if number <= version}
    return version if _noted(gold, version) in earlier.values() else max(earlier, default=None)


def held_back(settings: Settings, fleet: FleetSpec) -> list[str]:
    """A line for each table whose newest rows failed their gate: gold and training continue with the rows published before."""
    audits = [newest_audit(settings, fleet, table) for table in GATED]
    return [
        f"{a.table} {a.span}, which failed its gate at {a.at:%Y-%m-%dT%H:%M:%SZ} ({'; '.join(map(str, a.failures))}); "
        f"`aimaas gate show --fleet {fleet.fleet}` says more"
        for a in audits
        if a is not None and a.verdict == "failed"
    ]


def audits_of(settings: Settings, fleet: FleetSpec, table: Judged) -> list[Audit]:
    """All audits of a table, or of rebuilt days, oldest first."""
    found = find_table(settings, fleet.fleet, "audits")
    rows = [] if found is None else _rows_of(found, table)
    return sorted(map(_audit, rows), key=lambda audit: audit.number)


def acknowledged(settings: Settings, fleet: FleetSpec) -> list[Audit]:
    """The audits of silver whose failures a person has acknowledged."""
    found = find_table(settings, fleet.fleet, "audits")
    rows = [] if found is None else _rows_of(found, "silver", verdict="acknowledged")
    return [audit for row in rows if (audit := _audit(row)).failures]


def begin_audits(settings: Settings, fleet: FleetSpec, now: datetime) -> None:
    """In a lake that has gold but no audits, record that the rows of gold are published."""
    silver, gold = (find_table(settings, fleet.fleet, table) for table in GATED)
    ends = _gold_ends(settings, fleet)
    if find_table(settings, fleet.fleet, "audits") is not None or silver is None or gold is None or not ends:
        return
    record(settings, fleet, [
        Audit(
            number=1, table=table, verdict="before", start=offsets_json({}), end=offsets_json(ends), version=found.version(),
            table_id=str(found.metadata().id), made_of=_noted(gold, gold.version()) if table == "gold" else "", at=now, by="aimaas",
            why="in gold before there were audits",
        )
        for table, found in zip(GATED, (silver, gold), strict=True)
    ])  # fmt: skip


def record(settings: Settings, fleet: FleetSpec, audits: Sequence[Audit]) -> None:
    """Write audits of different tables in one commit. Raises LakeError if another audit of one of the tables came first."""
    from deltalake import CommitProperties, Transaction, write_deltalake
    from deltalake.exceptions import CommitFailedError, DeltaError

    uri = table_uri(settings, fleet.fleet, "audits")
    for _ in range(_TRIES):
        found = find_table(settings, fleet.fleet, "audits")
        if any((0 if found is None else _number(found, a.table)) != a.number - 1 for a in audits):
            break
        numbers = [Transaction(_app_id(a.table), a.number) for a in audits]
        how = CommitProperties(app_transactions=numbers, max_commit_retries=0)
        try:
            write_deltalake(found or uri, _rows(audits), mode="append" if found else "error", commit_properties=how)
        except CommitFailedError:
            continue  # an audit of another table, or upkeep, committed meanwhile
        except DeltaError:
            if found is not None or find_table(settings, fleet.fleet, "audits") is None:
                raise
            continue  # the table was created meanwhile
        return
    raise LakeError(
        f"{uri}: another gate judged {' and '.join(a.table for a in audits)} meanwhile; run this gate again"
    )


def _number(found: DeltaTable, table: Judged) -> int:
    return found.transaction_version(_app_id(table)) or 0


def _app_id(table: Judged) -> str:
    return f"gate of {table}"


def _rows_of(found: DeltaTable, table: Judged, columns: list[str] | None = None, **having: Any) -> list[dict[str, Any]]:
    """The audits of a table that have these values, as rows in any order."""
    import pyarrow.dataset as ds

    which = ds.field("table") == table
    for name, value in having.items():
        which &= ds.field(name) == value
    with reading(found.table_uri):
        rows: list[dict[str, Any]] = arrow_dataset(found).to_table(columns=columns, filter=which).to_pylist()
    return rows


def _audit(row: dict[str, Any]) -> Audit:
    return msgspec.convert(row | {"failures": msgspec.json.decode(row["failures"])}, Audit)


def _rows(audits: Sequence[Audit]) -> pa.Table:
    import pyarrow as pa

    rows: list[dict[str, Any]] = [
        msgspec.structs.asdict(a) | {"failures": msgspec.json.encode(a.failures).decode()} for a in audits
    ]
    kinds = dict.fromkeys(_NUMBERS, pa.int64()) | {"at": pa.timestamp("us", "UTC")}
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in Audit.__struct_fields__])
    return pa.Table.from_pylist(rows, schema=schema)


def _noted(gold: DeltaTable, version: int) -> str:
    """The note of a version of gold, without the commit's mark."""
    return (note_in(gold, version) or "").partition(" ")[2]


def _gold_ends(settings: Settings, fleet: FleetSpec) -> Offsets:
    """The ends of the rows of gold: from its note, or if the note is lost, from its rows. Empty before the first gold."""
    gold = find_table(settings, fleet.fleet, "gold")
    if gold is None:
        return {}
    try:
        return ends_at(settings, fleet.fleet, "gold", gold.version())
    except LakeError:
        return _ends_of_rows(gold)


def _ends_of_rows(gold: DeltaTable) -> Offsets:
    """The offsets after the newest of each topic and partition; only a few batches of rows are in memory at once."""
    import pyarrow as pa

    places = ["topic", "partition", "offset"]
    rows, ends = arrow_dataset(gold), Offsets()
    if not set(places) <= set(rows.schema.names):  # an older release, without the coordinates of rows
        return ends
    with reading(gold.table_uri):
        for batch in rows.scanner(columns=places, batch_readahead=2, fragment_readahead=1).to_reader():
            newest = pa.table(batch).group_by(places[:2]).aggregate([("offset", "max")])
            for topic, partition, offset in zip(
                *(newest[c].to_pylist() for c in (*places[:2], "offset_max")), strict=True
            ):
                ends[topic, partition] = max(offset + 1, ends.get((topic, partition), 0))
    return ends
