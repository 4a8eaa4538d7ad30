"""The slices of a Delta table that a gate looks at: what came after a version, and what lay there just before.

New is told by Kafka's offsets, not by files: compaction and a rebuilt day bring old rows in new files, and these were judged.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any

from aimaas.errors import LakeError
from aimaas.fleet import FleetSpec
from aimaas.lake import Offsets, Table, arrow_dataset, ends_at, find_table
from aimaas.settings import Settings
from aimaas.torn import reading

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable


@dataclass(frozen=True)
class NewRows:
    """Rows and the version of the table that they were read at."""

    version: int
    table: pa.Table | None

    @property
    def count(self) -> int:
        """Number of rows."""
        return 0 if self.table is None else int(self.table.num_rows)


NO_ROWS = NewRows(-1, None)


def new_rows(
    settings: Settings,
    fleet: FleetSpec,
    table: Table,
    since: int | None = None,
    columns: Collection[str] | None = None,
) -> NewRows:
    """Read the rows of a table that the broker received after those of version `since`; all where that is None or not known.

    One scan, of those `columns` that the table has; files whose statistics exclude such rows are not read. Where there is no table
    yet the version is -1.
    """
    newest = find_table(settings, fleet.fleet, table)
    if newest is None:
        return NO_ROWS
    version, start = int(newest.version()), _ends(settings, fleet, table, since)
    end = None if start is None else _ends(settings, fleet, table, version)
    part = None if start is None or end is None else _between({at: start.get(at, 0) for at in end}, end)
    return NewRows(version, _read(newest, columns, part))


def rows_of_day(settings: Settings, fleet: FleetSpec, table: Table, day: date, columns: Collection[str]) -> NewRows:
    """The rows of a day of `silver` or `quarantine`, of those `columns` that the table has."""
    import pyarrow.dataset as ds

    newest = find_table(settings, fleet.fleet, table)
    return NO_ROWS if newest is None else NewRows(int(newest.version()), _read(newest, columns, ds.field("day") == day))


def rows_before(
    settings: Settings, fleet: FleetSpec, table: Table, since: int | None, columns: Collection[str], most: int
) -> pa.Table | None:
    """The newest rows of version `since`, at most `most`; None where that version is None or not known."""
    newest, end = find_table(settings, fleet.fleet, table), _ends(settings, fleet, table, since)
    if newest is None or not end:
        return None
    share = max(most // len(end), 1)
    return _read(newest, columns, _between({at: offset - share for at, offset in end.items()}, end))


def _read(found: DeltaTable, columns: Collection[str] | None, part: Any) -> pa.Table:
    whole = arrow_dataset(found)
    there = None if columns is None else [name for name in whole.schema.names if name in columns]
    with reading(found.table_uri):
        return whole.to_table(columns=there, filter=part)


def _between(start: Offsets, end: Offsets) -> Any:
    """Condition: the row's offset lies in [start, end) of its topic and partition."""
    import pyarrow.dataset as ds

    def parts() -> Iterator[Any]:
        topic, partition, offset = (ds.field(name) for name in ("topic", "partition", "offset"))
        for at, stop in sorted(end.items()):
            if start[at] < stop:
                yield (topic == at[0]) & (partition == at[1]) & (offset >= start[at]) & (offset < stop)

    return reduce(or_, parts(), ds.scalar(False))


def _ends(settings: Settings, fleet: FleetSpec, table: Table, version: int | None) -> Offsets | None:
    """Where the rows of a version end; None where its log does not say it, or was cleaned up."""
    if version is None:
        return None
    if version < 0:  # a gate before saw no table
        return {}
    try:
        return ends_at(settings, fleet.fleet, table, version)
    except LakeError:
        return None
