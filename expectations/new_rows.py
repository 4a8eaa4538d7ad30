"""The slice of a Delta table that a gate judges: what the commits after a version brought."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aimaas.fleet import FleetSpec
from aimaas.lake import Table, table_path
from aimaas.settings import Settings

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
    columns: Sequence[str] | None = None,
) -> NewRows:
    """Read the rows of the files that came to a table after version `since`; all rows where that is None or vacuumed.

    A file rewritten since (by compaction or a merge) brings its old rows again: they are judged once more, none is
    missed. Where there is no table yet the version is -1.
    """
    import pyarrow.dataset as ds

    newest = _find(settings, fleet, table)
    if newest is None:
        return NO_ROWS
    seen = _paths_at(newest, since)
    whole = newest.to_pyarrow_dataset()
    fresh = [f for f in whole.get_fragments() if f.path not in seen]
    part = ds.FileSystemDataset(fresh, whole.schema, whole.format, whole.filesystem)
    return NewRows(int(newest.version()), part.to_table(columns=list(columns) if columns else None))


def _paths_at(newest: DeltaTable, since: int | None) -> set[str]:
    """Return the data files of version `since`; none where its log has been cleaned up."""
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    if since is None:
        return set()
    try:
        old = DeltaTable(newest.table_uri, version=since)
        return {fragment.path for fragment in old.to_pyarrow_dataset().get_fragments()}
    except DeltaError:
        return set()


def _find(settings: Settings, fleet: FleetSpec, table: Table) -> DeltaTable | None:
    from deltalake import DeltaTable

    uri = table_path(settings, fleet.fleet, table).replace("s3a://", "s3://", 1)  # Hadoop's name, delta-rs's name
    return DeltaTable(uri) if DeltaTable.is_deltatable(uri) else None
