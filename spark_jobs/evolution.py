"""What may change in a fleet file once the lake has rows: readings may be added, if nullable; none may go or mean something else.

Each admission notes what was declared in its commit to `admission_state`, and the next one holds the fleet file against it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aimaas.declared import Declared, declared, read_note
from aimaas.errors import LakeError
from aimaas.fleet import FleetSpec

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def check_changes(fleet: FleetSpec, note: str) -> None:
    """Raise LakeError, a line for each change that is not allowed since `note`; an empty one, of older releases, allows all."""
    if not note:
        return
    before, now = read_note(note), read_note(declared(fleet))
    mistakes = [line for name in {**before, **now} if (line := _mistake(name, before.get(name), now.get(name)))]
    if not mistakes and [name for name in now if name in before] != list(before):
        mistakes = [f"the order of readings changed: put back {', '.join(before)}; new ones may stand anywhere"]
    if mistakes:
        raise LakeError("\n".join(f"fleet {fleet.fleet}: {line}" for line in mistakes))


def _mistake(name: str, before: Declared | None, now: Declared | None) -> str | None:
    """What is wrong with a reading, and what to do."""
    if now is None:
        return (
            f"{name} is gone, but history and models have it: keep it, with nullable: true and a fill where devices "
            "no longer send it, or give the fleet another name"
        )
    if before is None:
        what = "nullable: true and a fill, since older rows do not have it"
        return None if now.nullable else f"{name} is new and must be nullable: give it {what}"
    if before.nullable and not now.nullable:
        return f"{name} was nullable, and history has nulls: put nullable: true back"
    if before.setting != now.setting:
        return (
            f"{name} is now among the {'settings' if now.setting else 'sensors'}: put it back, or give it another name"
        )
    if before.unit != now.unit:
        return (
            f"{name} was in {before.unit!r} and is in {now.unit!r} now, but history is not: put the unit back, and add a reading "
            "with another name for values in the new one"
        )
    return None


def widened(rows: DataFrame, fleet: FleetSpec) -> DataFrame:
    """Rows of a table with all readings that are declared, null where one was added since. Raises LakeError."""
    from pyspark.sql import functions as f

    added = [name for name in fleet.readings if name not in rows.columns]
    required = [name for name in added if name not in fleet.nullable]
    if required:
        raise LakeError(
            f"fleet {fleet.fleet}: {required[0]} is not in the lake, and must be nullable to be added: "
            "give it nullable: true and a fill"
        )
    return rows.withColumns({name: f.lit(None).cast("double") for name in added}) if added else rows
