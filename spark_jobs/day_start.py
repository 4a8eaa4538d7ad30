"""Where judging must begin so that a day's verdicts come out as they did: the newest state of admission from before the day."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Any

from aimaas.errors import LakeError
from aimaas.fleet import FleetSpec
from aimaas.lake import Offsets, Table, find_table, offsets_at, table_path
from aimaas.settings import Settings

_STATE: Table = "admission_state"
_WRITES = ("WRITE", "CREATE TABLE AS SELECT", "CREATE OR REPLACE TABLE AS SELECT")


@dataclass(frozen=True)
class DayStart:
    """A version of `admission_state`, and the offsets that it came to; None and no offsets: from the beginning of bronze."""

    version: int | None = None
    offsets: Offsets = field(default_factory=dict)


def find_start(settings: Settings, fleet: FleetSpec, first: Offsets, end: Offsets) -> DayStart:
    """The newest readable state that has seen nothing at or after the offsets `first`. `end` is where the day ends, exclusive.

    Offsets only rise from version to version, so the place is found by halving. Raises LakeError where a growth of the topic lies
    between the state and the day's end: devices changed their partition there, which bronze does not say.
    """
    found = find_table(settings, fleet.fleet, _STATE)
    writes = [c for c in (found.history() if found else []) if str(c.get("operation")) in _WRITES]
    versions = sorted(int(c["version"]) for c in writes)

    def has_seen(version: int) -> bool:
        seen = offsets_at(settings, fleet.fleet, _STATE, version)
        return seen is not None and any(seen.get(at, 0) > offset for at, offset in first.items())

    before = bisect_left(versions, True, key=has_seen) - 1
    start = DayStart()
    if before >= 0 and (offsets := offsets_at(settings, fleet.fleet, _STATE, versions[before])) is not None:
        start = DayStart(versions[before], offsets)
    _refuse_growth(settings, fleet, writes, start, end)
    return start


def _refuse_growth(
    settings: Settings, fleet: FleetSpec, writes: list[dict[str, Any]], start: DayStart, end: Offsets
) -> None:
    """The admit job notes its commits, the growth of a topic does not."""
    since = -1 if start.version is None else start.version
    grown = [int(c["version"]) for c in writes if not c.get("userMetadata") and int(c["version"]) > since]
    for version in grown:
        then = offsets_at(settings, fleet.fleet, _STATE, version)
        if then is None or any(then.get(at, 0) < offset for at, offset in end.items()):
            raise LakeError(
                f"{table_path(settings, fleet.fleet, _STATE)}: the topic grew at version {version}, between the state from which "
                "this day would be judged and its end: the day cannot be judged again; days before the growth, and later ones "
                "whose state is kept, can"
            )
