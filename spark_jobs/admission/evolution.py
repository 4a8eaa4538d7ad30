"""The changes of a fleet file that are allowed once the lake has rows.

You may add nullable readings. You may not remove a reading or change its meaning. Each admission notes the declared readings in its
commit to `admission_state`, and the next one compares the fleet file with that note.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aimaas.errors import LakeError
from aimaas.fleet import FleetSpec
from aimaas.lake.declared_readings import Declared, declared, read_note

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def check_changes(fleet: FleetSpec, note: str) -> None:
    """Raise LakeError with a line for each forbidden change since `note`; an empty note, of older releases, allows all."""
    if not note:
        return
    before, now = read_note(note), read_note(declared(fleet))
    mistakes = [line for name in {**before, **now} if (line := _mistake(name, before.get(name), now.get(name)))]
    if not mistakes and [name for name in now if name in before] != list(before):
        mistakes = [f"the order of readings changed: restore {', '.join(before)}; you may put new readings anywhere"]
    if mistakes:
        raise LakeError("\n".join(f"fleet {fleet.fleet}: {line}" for line in mistakes))


def _mistake(name: str, before: Declared | None, now: Declared | None) -> str | None:
    """The line that names the forbidden change of a reading and the remedy; None if the reading has no forbidden change."""
    if now is None:
        return (
            f"{name} was removed, but older rows and models have it: keep it, with nullable: true and a fill if devices "
            "no longer send it, or give the fleet another name"
        )
    if before is None:
        what = "nullable: true and a fill, because older rows do not have it"
        return None if now.nullable else f"{name} is new and must be nullable: give it {what}"
    if before.nullable and not now.nullable:
        return f"{name} was nullable, and older rows have nulls: restore nullable: true"
    if before.setting != now.setting:
        return (
            f"{name} is now among the {'settings' if now.setting else 'sensors'}: move it back, or give it another name"
        )
    if before.unit != now.unit:
        return (
            f"{name} changed its unit from {before.unit!r} to {now.unit!r}, but older rows have the old unit: restore the unit, "
            "and add a reading with another name for values in the new unit"
        )
    return None


def widened(rows: DataFrame, fleet: FleetSpec) -> DataFrame:
    """Rows of a table with all declared readings; null in rows from before a reading was added. Raises LakeError."""
    from pyspark.sql import functions as f

    added = [name for name in fleet.readings if name not in rows.columns]
    required = [name for name in added if name not in fleet.nullable]
    if required:
        raise LakeError(
            f"fleet {fleet.fleet}: {required[0]} is not in the lake, and a new reading must be nullable: "
            "give it nullable: true and a fill"
        )
    return rows.withColumns({name: f.lit(None).cast("double") for name in added}) if added else rows
