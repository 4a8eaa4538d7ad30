"""Gaps: offsets that retention deleted before they were landed; one row of the lake for each gap.

A person accepted their loss, or the first landing of a topic found them deleted.
"""

from __future__ import annotations

from datetime import datetime

from aimaas.fleet import FleetSpec
from aimaas.lake import Offsets, append_rows, read_table, table_version
from aimaas.settings import Settings

_PLACE = ("topic", "partition", "first_offset", "last_offset")


def record_gaps(settings: Settings, fleet: FleetSpec, lost: Offsets, start: Offsets, now: datetime) -> None:
    """Record that the offsets from `lost` on and below `start` are gone. A gap that is recorded already is not recorded again.

    This runs before the landing that skips the offsets, so a kill leaves no gap unrecorded. If that landing was killed and
    retention deleted more before the next, two rows begin at one offset: the longer one counts.
    """
    import pyarrow as pa

    gaps = {(topic, p, first, start[topic, p] - 1) for (topic, p), first in lost.items()} - _known(settings, fleet)
    if gaps:
        columns = dict(zip(_PLACE, map(list, zip(*sorted(gaps), strict=True)), strict=True))
        kinds = [
            ("topic", pa.string()),
            ("partition", pa.int32()),
            ("first_offset", pa.int64()),
            ("last_offset", pa.int64()),
        ]
        schema = pa.schema([*kinds, ("accepted_at", pa.timestamp("us", "UTC"))])
        append_rows(settings, fleet.fleet, "gaps", pa.table(columns | {"accepted_at": [now] * len(gaps)}, schema))


def told(lost: Offsets, start: Offsets) -> dict[str, str]:
    """The gaps as text: first and last offset by `topic/partition`."""
    return {f"{topic}/{p}": f"{first} to {start[topic, p] - 1}" for (topic, p), first in sorted(lost.items())}


def _known(settings: Settings, fleet: FleetSpec) -> set[tuple[str, int, int, int]]:
    if table_version(settings, fleet.fleet, "gaps") is None:
        return set()
    found = read_table(settings, fleet.fleet, "gaps", _PLACE).to_pydict()
    return set(zip(*(found[name] for name in _PLACE), strict=True))
