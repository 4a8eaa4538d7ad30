"""The gate after each table: rows that are new since the last gated version must meet the suite, or the run stops.

Great Expectations runs over a slice read with Arrow, not over Spark: a `spark-submit` takes some 20 s on two cores, the
whole gate 10 s, of which 6 are the import of Great Expectations. The slice is read once, however many expectations there are, and
no Spark job runs. The suites do not know which engine judges them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING

from aimaas.declared import as_admitted
from aimaas.errors import GateFailedError, LakeError
from aimaas.fleet import FleetSpec
from aimaas.lake import table_path, table_version
from aimaas.quarantine import EXPECTATION
from aimaas.settings import Settings
from expectations.new_rows import NewRows, new_rows, rows_before, rows_of_day
from expectations.sensors import Share, shares
from expectations.set_aside import SOURCE, columns_of, set_aside
from expectations.suite import ANY_ROWS, Expected, Table, derived, derived_of_run, derived_of_windows, hand_written
from expectations.validation import DataDocs, Finding, Validation
from expectations.windows import MOST_ROWS, ORDER

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


@dataclass(frozen=True)
class GateReport:
    """What a gate saw. `versions` are the Delta versions it judged, for the next gate to start from."""

    fleet: str
    table: str
    versions: Mapping[str, int]
    rows: int
    refused: int
    checked: int
    warnings: tuple[Finding, ...] = field(default=())
    docs: str = ""
    set_aside: int = 0

    @property
    def quarantine_share(self) -> float:
        """Refused records of all that came."""
        return self.refused / max(self.rows + self.refused, 1)


def nothing_new(settings: Settings, fleet: FleetSpec, table: Table, since: Mapping[str, int]) -> bool:
    """Say whether the table still has the version that was judged last, or none at all."""
    newest = table_version(settings, fleet.fleet, table)
    return newest is None or since.get(table) == newest


def check_table(
    settings: Settings, fleet: FleetSpec, table: Table, since: Mapping[str, int] | None = None
) -> GateReport:
    """Judge the rows that came to `silver` or `gold` since the versions `since`; all, where these do not name the table.

    Data Docs are written whatever comes out. Raises GateFailedError naming each critical expectation that failed, what was
    observed, its limit and the page to read; LakeError where the table is missing; FleetFileError for a broken
    hand-written suite.
    """
    since = since or {}
    suite = [*derived(as_admitted(settings, fleet), table), *hand_written(settings.fleets, fleet, table)]
    suite = suite if table in since else [ANY_ROWS, *suite]
    rows = new_rows(settings, fleet, table, since.get(table), _columns(suite, table))
    silver = table == "silver"
    quarantine = new_rows(settings, fleet, "quarantine", since.get("quarantine"), ["reason"]) if silver else None
    return _judge(settings, fleet, table, suite, rows, quarantine, since)


def check_day(settings: Settings, fleet: FleetSpec, day: date) -> GateReport | None:
    """Judge the rows of silver of one day (UTC, broker time), with pages of their own in Data Docs; else as `check_table`.

    None where the lake has no record of that day.
    """
    suite = [*derived(as_admitted(settings, fleet), "silver"), *hand_written(settings.fleets, fleet, "silver")]
    rows = rows_of_day(settings, fleet, "silver", day, _columns(suite, "silver"))
    quarantine = rows_of_day(settings, fleet, "quarantine", day, ["reason"])
    if not rows.count and not quarantine.count:
        return None
    return _judge(settings, fleet, "silver", suite, rows, quarantine, {}, f"day-{day}")


def _judge(
    settings: Settings,
    fleet: FleetSpec,
    table: Table,
    suite: list[Expected],
    rows: NewRows,
    quarantine: NewRows | None,
    since: Mapping[str, int],
    run: str = "",
) -> GateReport:
    """Judge rows of a table, and with `quarantine` the run that refused those; `run` names the pages (the version, if empty)."""
    if rows.table is None:
        raise LakeError(f"{table_path(settings, fleet.fleet, table)}: no such table yet: run the step before this gate")
    docs = DataDocs(settings.data_docs, fleet.fleet, settings.data_docs_url)
    name, run = f"{fleet.fleet}_{table}", run or f"v{rows.version}"
    frame = _frame(rows.table, suite)
    done = [docs.validate(name, suite, frame, run)]
    versions: dict[str, int] = {table: rows.version}
    refused = 0
    if quarantine is not None:
        versions["quarantine"], refused = quarantine.version, _refused(quarantine)
        seen = _seen(settings, fleet, rows, since.get(table))
        whole_run = [*derived_of_run(fleet), *(e for e in derived_of_windows(fleet) if e[1]["column"] in seen)]
        done.append(_named(docs.validate(f"{name}_run", whole_run, _run_row(rows.count, refused, seen), run), seen))
    docs.build()
    warnings = _stop_or_warn(fleet, table, run, rows.count, done, docs.index)
    aside = done[0].to_set_aside
    failing = list(zip(aside, docs.failing(aside, frame), strict=True)) if aside else []
    noted = set_aside(settings, fleet, rows.table, failing) if failing else 0
    checked = sum(v.checked for v in done)
    return GateReport(fleet.fleet, table, versions, rows.count, refused, checked, warnings, docs.index, noted)


def _columns(suite: list[Expected], table: Table) -> set[str]:
    """What is read of a table: the columns that the suite names, and in silver those that tell rows and devices apart."""
    return {name for expected in suite for name in columns_of(expected)} | {
        *(SOURCE if table == "silver" else ()),
        *ORDER,
    }


def _frame(table: pa.Table, suite: list[Expected]) -> pd.DataFrame:
    """Return the columns that the suite names; a column that is missing is then told by the expectation itself."""
    named = {name for expected in suite for name in columns_of(expected)}
    frame: pd.DataFrame = table.select([c for c in table.column_names if c in named]).to_pandas()
    return frame


def _refused(quarantine: NewRows) -> int:
    """Rows that admission refused; those that a gate set aside were admitted."""
    import pyarrow.compute as pc

    if quarantine.table is None:
        return 0
    return int(pc.sum(pc.not_equal(quarantine.table["reason"], EXPECTATION)).as_py() or 0)


def _seen(settings: Settings, fleet: FleetSpec, rows: NewRows, since: int | None) -> dict[str, Share]:
    """What can be seen over many rows, by the column of the run that says it."""
    ranges = {name: reading.range for name, reading in fleet.sensors.items()}
    before = rows_before(settings, fleet, "silver", since, {*ORDER, "ts", *ranges}, MOST_ROWS)
    return {} if rows.table is None else shares(ranges, fleet.quality.window_rows, rows.table, before)


def _run_row(admitted: int, refused: int, seen: Mapping[str, Share]) -> pd.DataFrame:
    """The run as a whole, in one row."""
    import pandas as pd

    share = refused / max(admitted + refused, 1)
    counts = {"admitted": [admitted], "refused": [refused], "refused_share": [share]}
    return pd.DataFrame({**counts, **{column: [found.value] for column, found in seen.items()}})


def _named(done: Validation, seen: Mapping[str, Share]) -> Validation:
    """The findings about devices name some of them."""

    def named(finding: Finding) -> Finding:
        devices = ", ".join(seen[finding.subject].devices) if finding.subject in seen else ""
        return replace(finding, observed=f"{finding.observed}, such as {devices}") if devices else finding

    return replace(done, findings=tuple(named(f) for f in done.findings))


def _stop_or_warn(
    fleet: FleetSpec, table: Table, run: str, rows: int, done: list[Validation], docs: str
) -> tuple[Finding, ...]:
    """The warnings. Raises GateFailedError where something worse failed."""
    findings = [f for v in done for f in v.findings]
    failed = [f for f in findings if f.severity != "warning"]
    if failed:
        head = f"{fleet.fleet}: gate of {table} {run} ({rows} rows) failed {len(failed)} expectation(s)"
        raise GateFailedError("\n".join([head, *(f"- {f}" for f in failed), f"Data Docs: {docs}"]))
    return tuple(findings)
