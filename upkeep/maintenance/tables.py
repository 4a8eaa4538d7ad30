"""The tables of a fleet's lake for maintenance: the job that numbers their commits, and their sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from aimaas.fleet import FleetSpec
from aimaas.lake import Table, actions_of, find_table, note_in
from aimaas.settings import Settings

if TYPE_CHECKING:
    from deltalake import CommitProperties, DeltaTable

TABLES: tuple[Table, ...] = get_args(Table)
JOBS: dict[str, str] = {
    "bronze": "land", "silver": "admit", "outcomes": "admit", "quarantine": "admit", "admission_state": "admit",
    "gold": "gold", "gold_state": "gold", "history": "backfill",
}  # fmt: skip
"""The job that numbers the commits of a table (`spark_jobs.commits`)."""


@dataclass(frozen=True)
class Size:
    """The size of a table's newest version: rows, data files and their bytes."""

    rows: int
    files: int
    bytes: int


def size_of(found: DeltaTable) -> Size:
    """Return rows, files and bytes, from the log."""
    actions = actions_of(found)
    rows, size = (sum(n or 0 for n in actions[name].to_pylist()) for name in ("num_records", "size_bytes"))
    return Size(rows, actions.num_rows, size)


def there(settings: Settings, fleet: FleetSpec) -> dict[Table, DeltaTable]:
    """Return the fleet's existing tables at their newest versions."""
    found = {table: find_table(settings, fleet.fleet, table) for table in TABLES}
    return {table: delta for table, delta in found.items() if delta is not None}


def commit_properties(found: DeltaTable, job: str | None = None) -> CommitProperties:
    """Return the properties of a commit. It repeats the note of the newest commit that has one, so that a log clean-up keeps it.

    With `job` the commit takes the next commit number of this job. So a run of the job that read the table before fails and is
    retried, instead of writing deleted rows again.
    """
    from deltalake import CommitProperties, Transaction

    note = note_in(found)
    number = 0 if job is None else (found.transaction_version(job) or 0) + 1
    return CommitProperties(
        custom_metadata=None if note is None else {"userMetadata": note},
        app_transactions=None if job is None else [Transaction(job, number)],
        max_commit_retries=0 if job is not None else None,
    )
