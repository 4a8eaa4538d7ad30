"""Records that `aimaas forget` erased: their coordinates and days, but not their device.

The land job reads the table `forgotten` to keep these records out, and `aimaas reconcile` reads it to see that they are no gap.
Once Kafka has deleted the records too, a coordinate leads nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime

import numpy as np
import numpy.typing as npt

from aimaas.lake.tables import Offsets, append_rows, read_table, table_version
from aimaas.settings import Settings

Place = tuple[str, int, int]  # topic, partition, offset
Forgotten = dict[tuple[str, int], npt.NDArray[np.int64]]  # sorted offsets by topic and partition


def forgotten(settings: Settings, fleet: str) -> Forgotten:
    """The offsets (n,) of all erased records, by topic and partition."""
    if table_version(settings, fleet, "forgotten") is None:
        return {}
    rows = read_table(settings, fleet, "forgotten", ["topic", "partition", "offset"]).to_pydict()
    found: dict[tuple[str, int], list[int]] = {}
    for topic, partition, offset in zip(rows["topic"], rows["partition"], rows["offset"], strict=True):
        found.setdefault((topic, partition), []).append(offset)
    return {at: np.unique(np.array(offsets, np.int64)) for at, offsets in found.items()}


def remember(settings: Settings, fleet: str, places: Mapping[Place, date], now: datetime) -> int:
    """Record the coordinates as erased; returns how many were new. This runs before anything is erased."""
    import pyarrow as pa

    known = {(*at, int(offset)) for at, offsets in forgotten(settings, fleet).items() for offset in offsets}
    new = sorted(set(places) - known)
    if new:
        topics, partitions, offsets = zip(*new, strict=True)
        columns = {
            "topic": pa.array(topics, pa.string()),
            "partition": pa.array(partitions, pa.int32()),
            "offset": pa.array(offsets, pa.int64()),
            "day": pa.array([places[place] for place in new], pa.date32()),
            "forgotten_at": pa.array([now] * len(new), pa.timestamp("us", "UTC")),
        }
        append_rows(settings, fleet, "forgotten", pa.table(columns))
    return len(new)


def passed_over(landed: Offsets, erased: Forgotten) -> Offsets:
    """The ends of bronze, including erased records at its end."""
    ends = {}
    for at, end in landed.items():
        offsets = erased.get(at, np.zeros(0, np.int64))
        tail = offsets[offsets >= end]
        gaps = np.flatnonzero(tail != end + np.arange(len(tail)))
        ends[at] = end + (int(gaps[0]) if len(gaps) else len(tail))
    return ends
