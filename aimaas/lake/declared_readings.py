"""The declared readings of the fleet file at each admission: a note in each commit to `admission_state`."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from aimaas.fleet import FleetSpec, Reading
from aimaas.lake.tables import held
from aimaas.settings import Settings

ADMIT = "admit"  # the job that writes the notes


class Declared(msgspec.Struct, frozen=True, omit_defaults=True):
    """The parts of a reading that must stay, and the widest `range` of admitted rows so far, None in notes of older releases."""

    setting: bool
    unit: str
    nullable: bool
    range: tuple[float, float] | None = None


def declared(fleet: FleetSpec, before: str = "", rules: Iterable[FleetSpec] = ()) -> str:
    """The readings in their order, as a note, after the note `before`; `rules` are the fleet files that judged the rows."""
    known, files = read_note(before), [fleet, *rules]
    found = {}
    for name, reading in zip(fleet.readings, fleet.reading_specs, strict=True):
        ranges = [file_readings[name].range for f in files if name in (file_readings := {**f.settings, **f.sensors})]
        if name in known and (earlier := known[name].range) is not None:
            ranges.append(earlier)
        found[name] = Declared(name in fleet.settings, reading.unit, reading.nullable, widest(ranges))
    return msgspec.json.encode(found).decode()


def widest(ranges: Iterable[tuple[float, float]]) -> tuple[float, float]:
    """The smallest range that contains all of these; there is at least one."""
    lows, highs = zip(*ranges, strict=True)
    return min(lows), max(highs)


def read_note(note: str) -> dict[str, Declared]:
    """The readings of a note; none for an empty note."""
    return msgspec.json.decode(note, type=dict[str, Declared]) if note else {}


def as_admitted(settings: Settings, fleet: FleetSpec) -> FleetSpec:
    """The fleet file with ranges as wide as those that admitted rows of silver.

    Rows are judged by the rules of their offset, which may have been wider than the present ones. Raises LakeError.
    """
    known = read_note((held(settings, fleet.fleet, "admission_state", ADMIT).note or "").partition(" ")[2])

    def wide(name: str, reading: Reading) -> Reading:
        then = known[name].range if name in known else None
        return reading if then is None else reading.model_copy(update={"range": widest([then, reading.range])})

    parts = {part: {n: wide(n, r) for n, r in getattr(fleet, part).items()} for part in ("settings", "sensors")}
    return fleet.model_copy(update=parts)
