"""The new rows of a table since its newest audit, and readers of a part of a table that run in this process."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aimaas.errors import LakeError
from aimaas.fleet import FleetSpec
from aimaas.lake import Offsets, Table, arrow_dataset, ends_at, find_table, held, note_in, table_path
from aimaas.lake.audits import Gated
from aimaas.lake.declared_readings import ADMIT
from aimaas.lake.torn_files import reading
from aimaas.settings import Settings
from expectations.rows.parts import PLACE, Part

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Span:
    """Rows at offsets in [start, end) of one version of a table; `made_of` is the note of that version of gold."""

    start: Offsets
    end: Offsets
    version: int
    table_id: str
    made_of: str = ""

    @property
    def part(self) -> Part:
        """The rows of the span, as a part."""
        return Part(self.start, self.end)

    @property
    def is_empty(self) -> bool:
        """Whether the span has no offset."""
        return all(self.start.get(at, 0) >= end for at, end in self.end.items())


def span_since(settings: Settings, fleet: FleetSpec, table: Gated, start: Offsets) -> Span:
    """The rows of a table from `start` on. Raises LakeError if the table does not exist yet, or does not name its end."""
    # read first for silver: each admission writes it last, so silver and quarantine hold everything that was judged below it
    admitted = held(settings, fleet.fleet, "admission_state", ADMIT).offsets if table == "silver" else {}
    found = find_table(settings, fleet.fleet, table)
    if found is None or (table == "silver" and not admitted):
        raise LakeError(f"{table_path(settings, fleet.fleet, table)}: no such table yet: run the step before this gate")
    version = int(found.version())
    end = admitted if table == "silver" else ends_at(settings, fleet.fleet, table, version)
    note = (note_in(found, version) or "").partition(" ")[2] if table == "gold" else ""
    return Span(start, end, version, str(found.metadata().id), note)


def rows_in(settings: Settings, fleet: FleetSpec, table: Table, part: Part, columns: Collection[str]) -> pa.Table:
    """The rows of a part of `silver`, `quarantine` or `gold`, with the `columns` that the table has; no rows without a table.

    One scan; files whose statistics exclude such rows are not read.
    """
    import pyarrow as pa

    found = find_table(settings, fleet.fleet, table)
    if found is None:
        return pa.table({name: pa.array([], pa.null()) for name in columns})
    whole = arrow_dataset(found)
    there = [name for name in whole.schema.names if name in columns]
    with reading(found.table_uri):
        return whole.to_table(columns=there, filter=part.arrow())


def count_in(settings: Settings, fleet: FleetSpec, table: Table, part: Part) -> int:
    """The number of rows of a part, 0 without a table. The rows are counted while they are read, and not kept."""
    found = find_table(settings, fleet.fleet, table)
    if found is None:
        return 0
    with reading(found.table_uri):
        return int(arrow_dataset(found).count_rows(filter=part.arrow()))


def not_set_aside(settings: Settings, fleet: FleetSpec, rows: pa.Table, part: Part) -> pa.Table:
    """The rows of silver, read with their `PLACE`, without rows that an expectation has set aside."""
    aside = rows_in(settings, fleet, "quarantine", part.of_quarantine(set_aside=True), PLACE)
    return rows.join(aside, list(PLACE), join_type="left anti") if aside.num_rows else rows
