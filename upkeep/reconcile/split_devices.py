"""Finds devices that were admitted in two partitions at the same time: two producers with different partitioners send for them.

The scorer takes such a device for two devices, each with a part of its history.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from aimaas.fleet import FleetSpec
from aimaas.lake import arrow_dataset, find_table
from aimaas.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa

_KEYS = ["device_id", "partition"]


@dataclass(frozen=True)
class SplitDevice:
    """A device, and the partitions in which it was admitted at the same time."""

    device_id: str
    partitions: tuple[int, ...]

    def __str__(self) -> str:
        """Return one line."""
        where = " and ".join(map(str, self.partitions))
        return (
            f"device {self.device_id!r} was admitted in partitions {where} at once, so each has half of its history: set one "
            "partitioner, murmur2_random, for all that send for it"
        )


def split_devices(settings: Settings, fleet: FleetSpec, begin: datetime, end: datetime) -> list[SplitDevice]:
    """Return the split devices, by id, among events with a broker time from `begin` on and before `end`.

    A device that a topic growth moved is in two partitions one after the other, and is no split device.
    """
    import pyarrow.dataset as ds

    silver = find_table(settings, fleet.fleet, "silver")
    if silver is None:
        return []
    at = ds.field("broker_ts")
    batches = arrow_dataset(silver).to_batches(columns=[*_KEYS, "broker_ts"], filter=(at >= begin) & (at < end))
    return [*_split(_times(batches))]


def _times(batches: Iterator[pa.RecordBatch]) -> pa.Table | None:
    """Return first and last time of each device in each partition: the number of rows does not depend on the number of records."""
    import pyarrow as pa

    found: pa.Table | None = None
    for batch in batches:
        rows = pa.table({**{k: batch[k] for k in _KEYS}, "first": batch["broker_ts"], "last": batch["broker_ts"]})
        known = rows if found is None else pa.concat_tables([found, rows])
        grouped = known.group_by(_KEYS).aggregate([("first", "min"), ("last", "max")])
        found = grouped.rename_columns({"first_min": "first", "last_max": "last"})
    return found


def _split(times: pa.Table | None) -> Iterator[SplitDevice]:
    import pyarrow.compute as pc

    if times is None:
        return
    counts = times.group_by("device_id").aggregate([("partition", "count")])
    doubtful = counts.filter(pc.field("partition_count") > 1)["device_id"]
    by_device: dict[str, list[dict[str, Any]]] = {}
    for row in times.filter(pc.is_in(times["device_id"], value_set=doubtful)).to_pylist():
        by_device.setdefault(row["device_id"], []).append(row)
    for device_id, rows in sorted(by_device.items()):
        rows.sort(key=lambda row: row["first"])
        if any(later["first"] < earlier["last"] for earlier, later in pairwise(rows)):
            yield SplitDevice(device_id, tuple(sorted(row["partition"] for row in rows)))
