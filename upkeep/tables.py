"""The tables of a fleet's lake as upkeep sees them: whose commits their numbers count, and how large they are."""

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
    "gold": "gold", "gold_state": "gold", "fits": "features", "features": "features", "history": "backfill",
}  # fmt: skip
"""The job by whose name a table's commits are numbered (`spark_jobs.commits`)."""


@dataclass(frozen=True)
class Size:
    """What a table's newest version takes: rows, data files and their bytes."""

    rows: int
    files: int
    bytes: int


def size_of(found: DeltaTable) -> Size:
    """Rows, files and bytes, from the log."""
    actions = actions_of(found)
    rows, size = (sum(n or 0 for n in actions[name].to_pylist()) for name in ("num_records", "size_bytes"))
    return Size(rows, actions.num_rows, size)


def there(settings: Settings, fleet: FleetSpec) -> dict[Table, DeltaTable]:
    """The fleet's tables that there are, at their newest versions."""
    found = {table: find_table(settings, fleet.fleet, table) for table in TABLES}
    return {table: delta for table, delta in found.items() if delta is not None}


def commit_properties(found: DeltaTable, job: str | None = None) -> CommitProperties:
    """How upkeep commits: with the note of the newest commit that has one, so that it outlives the log's clean-up.

    With `job` the commit takes the number that this job would give its next one: a run of it that looked before fails, and is
    repeated, instead of bringing back what is gone.
    """
    from deltalake import CommitProperties, Transaction

    note = note_in(found)
    number = 0 if job is None else (found.transaction_version(job) or 0) + 1
    return CommitProperties(
        custom_metadata=None if note is None else {"userMetadata": note},
        app_transactions=None if job is None else [Transaction(job, number)],
        max_commit_retries=0 if job is not None else None,
    )
