"""Finds the start of a rebuild: the newest admission state before the day, from which the day gets the same verdicts again."""

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
    """A version of `admission_state` and the offsets that it reached; None and no offsets mean the beginning of bronze."""

    version: int | None = None
    offsets: Offsets = field(default_factory=dict)


def find_start(settings: Settings, fleet: FleetSpec, first: Offsets, end: Offsets) -> DayStart:
    """The newest readable state from before the offsets `first`. `end` is the end of the day, exclusive.

    Offsets only rise from version to version, so a binary search finds the state. Raises LakeError if the topic grew between the
    state and the end of the day: devices changed their partition then, and bronze does not record that.
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
    """The admit job writes notes on its commits. The growth of a topic does not."""
    since = -1 if start.version is None else start.version
    grown = [int(c["version"]) for c in writes if not c.get("userMetadata") and int(c["version"]) > since]
    for version in grown:
        then = offsets_at(settings, fleet.fleet, _STATE, version)
        if then is None or any(then.get(at, 0) < offset for at, offset in end.items()):
            raise LakeError(
                f"{table_path(settings, fleet.fleet, _STATE)}: partitions were added to the topic at version {version}, between "
                "the admission state before this day and the end of the day, so the day cannot be rebuilt; days before that, and "
                "later days whose admission state is kept, can be rebuilt"
            )
