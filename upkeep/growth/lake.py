"""The lake's side of a topic growth: moves the admission state of each device to the new partition of its key.

Admission keeps the order keys of devices by Kafka partition, as the scorer does. They move after admission has judged all
scored events and before an event can arrive in the new partition. So both continue to judge every event alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aimaas.admission.journal import label_now
from aimaas.admission.partitioner import partition_of
from aimaas.fleet import FleetSpec
from aimaas.lake import held, read_table, replace_rows
from aimaas.settings import Settings
from aimaas.topics import topic_names

if TYPE_CHECKING:
    import pyarrow as pa

ADMIT = "admit"  # the job that keeps the table; its name numbers the table's commits


def move_in_lake(settings: Settings, fleet: FleetSpec, partitions: int) -> int:
    """Move the devices in the fleet's table `admission_state`, if it has one; return their number. Raises LakeError."""
    seen = held(settings, fleet.fleet, "admission_state", ADMIT)
    if seen.version is None:
        return 0
    rows = read_table(settings, fleet.fleet, "admission_state", version=seen.version)
    placed, moved = moved_rows(rows, label_now(settings, fleet, topic_names(fleet).events), partitions)
    if moved:
        replace_rows(settings, fleet.fleet, "admission_state", placed, seen, ADMIT)
    return moved


def moved_rows(rows: pa.Table, events: str, partitions: int) -> tuple[pa.Table, int]:
    """Return the rows of admission's state with devices in their keys' partitions, and the number of moved devices.

    `events` is the topic's label. A row's offset is the last record that admission has judged in the row's partition, -1
    before the first.
    """
    import pyarrow as pa

    columns = {name: rows[name].to_pylist() for name in ("topic", "partition", "offset", "device_id")}
    last = dict(zip(zip(columns["topic"], columns["partition"], strict=True), columns["offset"], strict=True))
    places, offsets, moved = [], [], 0
    for topic, partition, device in zip(columns["topic"], columns["partition"], columns["device_id"], strict=True):
        there = partition if topic != events or device is None else partition_of(device.encode(), partitions)
        moved += there != partition
        places.append(there)
        offsets.append(last.get((topic, there), -1))
    for name, values in (("partition", places), ("offset", offsets)):
        at = rows.schema.get_field_index(name)
        rows = rows.set_column(at, rows.schema.field(name), pa.array(values, rows.schema.field(name).type))
    return rows, moved
