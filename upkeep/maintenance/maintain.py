"""Keeps the lake small and fast: compacts small files, deletes old files and old pages of Data Docs, reports sizes.

Compaction changes no row, so it can run beside the appends of jobs. If two commits conflict, the second one fails: Airflow retries
a job, and a compaction waits for the next night.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from aimaas.fleet import FleetSpec
from aimaas.lake import Table, find_table
from aimaas.logs import logger
from aimaas.settings import Settings
from upkeep.maintenance.pages import prune_pages
from upkeep.maintenance.tables import Size, commit_properties, size_of, there

if TYPE_CHECKING:
    from deltalake import DeltaTable

log = logger("upkeep")

RETENTION_HOURS = 168
"""How long a file is kept after the last version that had it. No job reads one version for a week. An older version of gold can be
derived from the present gold: its rows below that version's offsets."""
TARGET_BYTES = 128 * 2**20
"""Size of a file after compaction. Larger files are left alone, so a night writes little."""
PAGES_DAYS = 90
COMPACTED: tuple[Table, ...] = (
    "bronze", "silver", "outcomes", "quarantine", "gold", "forgotten", "audits"
)  # fmt: skip
"""The tables that grow. Each run writes the other tables as a whole, so they need no compaction."""


@dataclass(frozen=True)
class TableDone:
    """What was done to a table: sizes before and after, compacted files (`busy`: a job committed first), deleted old files."""

    table: str
    before: Size
    after: Size
    compacted: int
    deleted: int
    busy: bool = False


def maintain(settings: Settings, fleet: FleetSpec, now: datetime, dry_run: bool = False) -> tuple[list[TableDone], int]:
    """Maintain all tables of a fleet. Return what was done, and the number of deleted files of Data Docs. Raises LakeError."""
    done = [_maintain(settings, fleet, table, dry_run) for table in there(settings, fleet)]
    for d in done:
        log.info(
            "table maintained", fleet=fleet.fleet, table=d.table, rows=d.after.rows, files=d.after.files, bytes=d.after.bytes,
            compacted=d.compacted, deleted=d.deleted, busy=d.busy,
        )  # fmt: skip
    return done, prune_pages(settings.data_docs / fleet.fleet, now - timedelta(days=PAGES_DAYS), dry_run)


def _maintain(settings: Settings, fleet: FleetSpec, table: Table, dry_run: bool) -> TableDone:
    found = _newest(settings, fleet, table)
    before, (compacted, busy) = size_of(found), (0, False)
    if table in COMPACTED and not dry_run:
        compacted, busy = _compact(found)
    newest = _newest(settings, fleet, table)
    deleted = newest.vacuum(RETENTION_HOURS, dry_run, commit_properties=commit_properties(newest), full=True)
    return TableDone(table, before, size_of(_newest(settings, fleet, table)), compacted, len(deleted), busy)


def _compact(found: DeltaTable) -> tuple[int, bool]:
    """Compact small files. Return their number, and whether another commit came first."""
    from deltalake.exceptions import CommitFailedError

    try:
        done = found.optimize.compact(target_size=TARGET_BYTES, commit_properties=commit_properties(found))
    except CommitFailedError:
        return 0, True
    return int(done["numFilesRemoved"]), False


def _newest(settings: Settings, fleet: FleetSpec, table: Table) -> DeltaTable:
    found = find_table(settings, fleet.fleet, table)
    assert found is not None  # noqa: S101  `there` found it, and nothing deletes tables
    return found
