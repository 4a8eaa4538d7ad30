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
from aimaas.lake import Held, Table, commit_notes, partitioned_by, table_path
from aimaas.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


@dataclass(frozen=True)
class Replace:
    """Overwrite the rows for which a condition holds (SQL over columns of the table), and only with such rows."""

    where: str


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
    """Write the rows if the table is still as the job has `seen` it; what is overwritten may have had other columns.

    Raises LakeError where another run of the job committed since.
    """
    mark = f"{uuid.uuid4()} {note}"
    write = rows.write.format("delta").mode(mode if isinstance(mode, str) else "overwrite")
    write = write.partitionBy(*partitioned_by(table)).option("userMetadata", mark)
    if isinstance(mode, Replace):
        write = write.option("replaceWhere", mode.where)
    elif mode == "overwrite":
        write = write.option("overwriteSchema", True)
    path = table_path(settings, fleet.fleet, table)
    write.option("txnAppId", app_id).option("txnVersion", seen.number + 1).save(path)
    if mark not in commit_notes(settings, fleet.fleet, table, seen.version):
        raise LakeError(
            f"{path}: another {app_id} job wrote to it meanwhile; nothing is lost or doubled, run this one again"
        )


def note_of(seen: Held) -> str:
    """What the table's newest commit was noted with; empty where it was not made by `commit`."""
    return without_mark(seen.note or "")


def without_mark(note: str) -> str:
    """The note that was given to `commit`."""
    return note.partition(" ")[2]
