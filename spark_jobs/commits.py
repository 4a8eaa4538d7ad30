"""Commits that fail if another commit came first: the lake's compare-and-set.

A job numbers its commits to a table (Delta's transaction version). If it has seen number n, it writes n + 1. If another run of the
same job has already written n + 1, Delta skips the write without an error. So each commit carries a unique mark, and the job looks
for its mark afterwards.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from aimaas.errors import LakeError
from aimaas.fleet import FleetSpec
from aimaas.lake import Held, Table, commit_notes, find_table, partitioned_by, table_path
from aimaas.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_OVERTAKEN = (
    "[DELTA_CONCURRENT_",
    "[DELTA_METADATA_CHANGED",
    "[DELTA_PROTOCOL_CHANGED",
)  # Delta's exceptions for a concurrent commit


@dataclass(frozen=True)
class Replace:
    """A write that replaces the rows which meet a condition (Spark's SQL). The new rows must meet the condition too."""

    condition: str


def commit(
    settings: Settings,
    fleet: FleetSpec,
    table: Table,
    app_id: str,
    rows: DataFrame,
    seen: Held,
    note: str = "",
    mode: Literal["append", "overwrite"] | Replace = "append",
) -> None:
    """Write the rows if the table is still as the job has `seen` it.

    An overwrite may change the columns. An append may add columns. Raises LakeError if another run of the job has committed since,
    or if a commit of another job conflicts with this one.
    """
    from py4j.protocol import Py4JJavaError
    from pyspark.errors import PySparkException

    mark = f"{uuid.uuid4()} {note}"
    write = rows.write.format("delta").partitionBy(*partitioned_by(table)).option("userMetadata", mark)
    if isinstance(mode, Replace):
        write = write.mode("overwrite").option("replaceWhere", mode.condition)
    else:
        write = write.mode(mode).option("overwriteSchema" if mode == "overwrite" else "mergeSchema", True)
    path = table_path(settings, fleet.fleet, table)
    try:
        write.option("txnAppId", app_id).option("txnVersion", seen.number + 1).save(path)
    except (Py4JJavaError, PySparkException) as e:  # Py4J's error if pyspark does not know Delta's class
        if not any(sign in str(e) for sign in _OVERTAKEN):
            raise
        raise LakeError(f"{path}: another job wrote to it meanwhile; nothing was changed, run this job again") from None
    if mark not in commit_notes(settings, fleet.fleet, table, seen.version):
        raise LakeError(
            f"{path}: another {app_id} job wrote to it meanwhile; nothing is lost or doubled, run this job again"
        )


def undo(settings: Settings, fleet: FleetSpec, table: Table, seen: Held) -> None:
    """Restore a table to the version that the job has `seen`, by a new commit.

    Raises LakeError if there was no table before.
    """
    from deltalake import CommitProperties

    found = find_table(settings, fleet.fleet, table)
    if found is None or seen.version is None:
        raise LakeError(
            f"{table_path(settings, fleet.fleet, table)}: its first commit holds records of a topic that was deleted and created "
            "again meanwhile: remove the table, and run this job again"
        )
    kept = CommitProperties(custom_metadata={"userMetadata": seen.note} if seen.note else {})
    found.restore(seen.version, commit_properties=kept)


def note_of(seen: Held) -> str:
    """The note of the table's newest commit; empty if `commit` did not write that commit."""
    return without_mark(seen.note or "")


def without_mark(note: str) -> str:
    """The note as it was given to `commit`."""
    return note.partition(" ")[2]
