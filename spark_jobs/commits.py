"""Commits that either follow on what the job looked at, or fail: the lake's compare-and-set.

A job numbers its commits to a table (Delta's transaction version): it writes n + 1 where it has seen n. If another run of the
same job came first, Delta passes the write over, in silence: so every commit carries a mark that is looked for.
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
)  # Delta's names of a lost race


@dataclass(frozen=True)
class Replace:
    """How rows are written that take the place of those that meet a condition, in Spark's SQL; the new rows must meet it too."""

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

    What is overwritten may have had other columns, and what is appended may bring new ones. Raises LakeError where another run of
    the job committed since, or a commit of another job cannot be followed by this one.
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
    except (Py4JJavaError, PySparkException) as e:  # as Py4J's where Delta's own classes are not known to pyspark
        if not any(sign in str(e) for sign in _OVERTAKEN):
            raise
        raise LakeError(f"{path}: another job wrote to it meanwhile; nothing is changed, run this one again") from None
    if mark not in commit_notes(settings, fleet.fleet, table, seen.version):
        raise LakeError(
            f"{path}: another {app_id} job wrote to it meanwhile; nothing is lost or doubled, run this one again"
        )


def undo(settings: Settings, fleet: FleetSpec, table: Table, seen: Held) -> None:
    """Bring a table back to what it was when the job has `seen` it, by a commit of its own.

    Raises LakeError where there was no table then.
    """
    from deltalake import CommitProperties

    found = find_table(settings, fleet.fleet, table)
    if found is None or seen.version is None:
        raise LakeError(
            f"{table_path(settings, fleet.fleet, table)}: its first commit holds records of a topic that was made anew meanwhile: "
            "remove the table, and run this job again"
        )
    kept = CommitProperties(custom_metadata={"userMetadata": seen.note} if seen.note else {})
    found.restore(seen.version, commit_properties=kept)


def note_of(seen: Held) -> str:
    """What the table's newest commit was noted with; empty where it was not made by `commit`."""
    return without_mark(seen.note or "")


def without_mark(note: str) -> str:
    """The note that was given to `commit`."""
    return note.partition(" ")[2]
