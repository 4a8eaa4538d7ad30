"""The slices of a Delta table that a gate looks at: a span of offsets, a day, and what lay just before a span.

Offsets tell what is new, not files: compaction and a rebuilt day bring old rows in new files, and these were judged.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any

from aimaas.audits import Audit, Gated
from aimaas.declared import ADMIT
from aimaas.errors import LakeError
from aimaas.fleet import FleetSpec
from aimaas.lake import Offsets, Table, arrow_dataset, ends_at, find_table, held, note_in, offsets_of, table_path
from aimaas.quarantine import EXPECTATION
from aimaas.settings import Settings
from aimaas.torn import reading

if TYPE_CHECKING:
    import pyarrow as pa


PLACE = ("topic", "partition", "offset")


@dataclass(frozen=True)
class Span:
    """Rows at offsets in [start, end), in a table as it was at a version; `made_of` is the note of that version of gold."""

    start: Offsets
    end: Offsets
    version: int
    table_id: str
    made_of: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether it has no offset."""
        return all(self.start.get(at, 0) >= end for at, end in self.end.items())


def span_since(settings: Settings, fleet: FleetSpec, table: Gated, start: Offsets) -> Span:
    """What a table holds from `start` on. Raises LakeError where there is no table yet, or it does not say where it ends."""
    # of silver looked at first: written last by each admission, so silver and quarantine hold all that was judged below it
    admitted = held(settings, fleet.fleet, "admission_state", ADMIT).offsets if table == "silver" else {}
    found = find_table(settings, fleet.fleet, table)
    if found is None or (table == "silver" and not admitted):
        raise LakeError(f"{table_path(settings, fleet.fleet, table)}: no such table yet: run the step before this gate")
    version = int(found.version())
    end = admitted if table == "silver" else ends_at(settings, fleet.fleet, table, version)
    note = (note_in(found, version) or "").partition(" ")[2] if table == "gold" else ""
    return Span(start, end, version, str(found.metadata().id), note)


def rows_in(settings: Settings, fleet: FleetSpec, table: Table, span: Span, columns: Collection[str]) -> pa.Table:
    """The rows of a span of `silver`, `quarantine` or `gold`, of those `columns` that the table has; none where there is no table.

    One scan; files whose statistics exclude such rows are not read.
    """
    return _read(settings, fleet, table, columns, _between(span.start, span.end))


def rows_of_day(
    settings: Settings,
    fleet: FleetSpec,
    table: Table,
    day: date,
    columns: Collection[str],
    without: Sequence[Audit] = (),
) -> pa.Table:
    """The rows of a day of `silver` or `quarantine`, of those `columns` that the table has, but not those of these audits."""
    import pyarrow.dataset as ds

    mine = ds.field("day") == day
    for audit in without:
        mine &= ~_between(offsets_of(audit.start), offsets_of(audit.end))
    return _read(settings, fleet, table, columns, mine)


def rows_before(
    settings: Settings, fleet: FleetSpec, table: Table, end: Offsets, columns: Collection[str], most: int
) -> pa.Table | None:
    """The newest rows below these offsets, at most `most`; None where there are none."""
    if not end:
        return None
    share = max(most // len(end), 1)
    return _read(settings, fleet, table, columns, _between({at: offset - share for at, offset in end.items()}, end))


def not_set_aside(rows: pa.Table, quarantine: pa.Table) -> pa.Table:
    """The rows without those that an expectation has set aside."""
    import pyarrow.compute as pc

    if not quarantine.num_rows:
        return rows
    aside = quarantine.filter(pc.equal(quarantine["reason"], EXPECTATION)).select(PLACE)
    return rows.join(aside, list(PLACE), join_type="left anti") if aside.num_rows else rows


def _read(settings: Settings, fleet: FleetSpec, table: Table, columns: Collection[str], part: Any) -> pa.Table:
    import pyarrow as pa

    found = find_table(settings, fleet.fleet, table)
    if found is None:
        return pa.table({name: pa.array([], pa.null()) for name in columns})
    whole = arrow_dataset(found)
    there = [name for name in whole.schema.names if name in columns]
    with reading(found.table_uri):
        return whole.to_table(columns=there, filter=part)


def _between(start: Offsets, end: Offsets) -> Any:
    """Condition: the row's offset lies in [start, end) of its topic and partition; one that `start` lacks begins at 0."""
    import pyarrow.dataset as ds

    def parts() -> Iterator[Any]:
        topic, partition, offset = (ds.field(name) for name in PLACE)
        for at, stop in sorted(end.items()):
            if start.get(at, 0) < stop:
                yield (topic == at[0]) & (partition == at[1]) & (offset >= start.get(at, 0)) & (offset < stop)

    return reduce(or_, parts(), ds.scalar(False))
