"""The slices of a Delta table that a gate looks at: what the commits after a version brought, and what lay there just before."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from aimaas.fleet import FleetSpec
from aimaas.lake import Table, actions_of, arrow_dataset, find_table
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
    """Read the rows of the files that came to a table after version `since`; all rows where that is None or vacuumed.

    One scan, of those `columns` that the table has. A file rewritten since (by compaction or a merge) brings its old rows again:
    they are judged once more, none is missed. Where there is no table yet the version is -1.
    """
    newest = find_table(settings, fleet.fleet, table)
    if newest is None:
        return NO_ROWS
    seen = set(_files_at(newest, since))
    return NewRows(int(newest.version()), _read(newest, lambda path: path not in seen, columns))


def rows_of_day(settings: Settings, fleet: FleetSpec, table: Table, day: date, columns: Collection[str]) -> NewRows:
    """The rows of a day of `silver` or `quarantine`, of those `columns` that the table has."""
    import pyarrow.dataset as ds

    newest = find_table(settings, fleet.fleet, table)
    if newest is None:
        return NO_ROWS
    whole = arrow_dataset(newest)
    there = [name for name in whole.schema.names if name in columns]
    return NewRows(int(newest.version()), whole.to_table(columns=there, filter=ds.field("day") == day))


def rows_before(
    settings: Settings, fleet: FleetSpec, table: Table, since: int | None, columns: Collection[str], most: int
) -> pa.Table | None:
    """Rows of the newest files of version `since`, about `most`; None where that version is None or vacuumed."""
    newest = find_table(settings, fleet.fleet, table)
    files = {} if newest is None else _files_at(newest, since)
    if newest is None or not files:
        return None
    chosen, count = set(), 0
    for path, (_, rows) in sorted(files.items(), key=lambda item: -item[1][0]):
        if count >= most:
            break
        chosen.add(path)
        count += rows
    return _read(newest, lambda path: path in chosen, columns)


def _read(found: DeltaTable, wanted: Callable[[str], bool], columns: Collection[str] | None) -> pa.Table:
    import pyarrow.dataset as ds

    whole = arrow_dataset(found)
    part = ds.FileSystemDataset(
        [f for f in whole.get_fragments() if wanted(_name(f.path))], whole.schema, whole.format, whole.filesystem
    )
    there: Sequence[str] | None = None if columns is None else [name for name in whole.schema.names if name in columns]
    with reading(found.table_uri):
        return part.to_table(columns=there)


def _files_at(newest: DeltaTable, since: int | None) -> dict[str, tuple[int, int]]:
    """When each data file of version `since` was written and its rows, by its name; none where its log has been cleaned up."""
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    if since is None or since < 0:  # a gate before saw no table
        return {}
    try:
        actions = actions_of(DeltaTable(newest.table_uri, version=since)).to_pydict()
    except DeltaError:
        return {}
    files = zip(actions["path"], actions["modification_time"], actions["num_records"], strict=True)
    return {_name(path): (written, rows or 0) for path, written, rows in files}


def _name(path: str) -> str:
    """A data file's own name, which is unique: its folders are written in more than one way."""
    return path.rsplit("/", 1)[-1]
