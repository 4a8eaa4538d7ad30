"""`aimaas topics grow`: adds partitions and moves the state of each device to the new partition of its key.

The order matters. A scorer refuses to start while the topics' partitions differ, that is from the first topic's growth to
the last one's:

1. check that no scorer runs, that no event waits, and that the lake is up to date;
2. settle: put all state into snapshots, so that no partition's input must be read again;
3. grow the state topic; 4. move the devices: one transaction writes the new snapshot of a device and deletes the old one;
5. move the devices in the lake's admission state; 6. grow the other topics, the events topic last.

Each step does only the missing work, so the next run finishes a killed one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import NamedTuple

from aimaas.admission.partitioner import partition_of
from aimaas.errors import KafkaError
from aimaas.fleet import FleetSpec
from aimaas.kafka import Offsets, kafka_errors
from aimaas.kafka.topic_ids import topic_ids
from aimaas.kernel.features import Kernel, kernel_of
from aimaas.kernel.fit import Fit
from aimaas.kernel.plan import plan_of
from aimaas.settings import Settings
from aimaas.topics import topic_names
from stream.records.exclusive_writer import ExclusiveWriter, Write
from stream.state.events_topic import find_events_topic
from stream.state.partition import PartitionState
from stream.state.records import (
    StateRecord,
    deletion,
    device_record,
    is_snapshot,
    position_record,
    replay_record,
    rules_record,
)
from stream.state.rules import rules_so_far
from stream.state.topic import restore
from upkeep.growth.checks import (
    astray,
    check_all_scored,
    check_lake,
    check_nobody_scores,
    check_placed,
    commit_where_none_is,
    read_positions,
)
from upkeep.growth.lake import move_in_lake
from upkeep.growth.topics import grow_topic, keyed_topics

CHUNK = 1_000  # devices in one transaction


class Growth(NamedTuple):
    """The result: grown topics with their former number of partitions, and the numbers of all devices and of moved ones.

    `astray` is the number of events that came to the wrong partition during the growth.
    """

    grown: dict[str, int]
    devices: int
    moved: int
    astray: int


def grow(settings: Settings, fleet: FleetSpec, partitions: int) -> Growth:
    """Grow the fleet's topics to this many partitions. Raises KafkaError, StateError, LakeError, with advice."""
    with kafka_errors(settings, f"grow the topics of fleet {fleet.fleet}"):
        before = keyed_topics(settings, fleet, partitions)
        check_nobody_scores(settings, fleet)
        positions = read_positions(settings, fleet, partitions)
        check_all_scored(settings, fleet, positions, partitions)
        check_lake(settings, fleet, positions)
        devices, moved = _move(settings, fleet, positions, before, partitions)
        move_in_lake(settings, fleet, partitions)
        for topic in sorted(before, key=lambda topic: topic == topic_names(fleet).events):
            grow_topic(settings, topic, partitions)
        commit_where_none_is(settings, fleet, positions)
        lost = astray(settings, fleet, positions, partitions)
    return Growth({t: n for t, n in before.items() if n < partitions}, devices, moved, lost)


def _move(
    settings: Settings, fleet: FleetSpec, positions: Offsets, before: dict[str, int], partitions: int
) -> tuple[int, int]:
    """Settle and move the devices; return the number of devices, and of moved ones."""
    names, devices, moved = topic_names(fleet), 0, 0
    present, known = before[names.events], before[names.state]
    scored = with_partitions(fleet, min(present, known))  # as it was scored, even if the fleet file has changed since
    with ExclusiveWriter(settings, fleet, "grow", "move the devices") as writer:
        for p in range(min(present, known)):
            state = _restored(settings, scored, p, positions[p])
            check_placed(fleet, p, state.devices, (known, present, partitions))
            devices += len(state.devices)
            _settle(writer, names.state, state)
    grow_topic(settings, names.state, partitions)
    check_nobody_scores(settings, fleet)  # a scorer that started before the topics differed
    events_id = topic_ids(settings, [names.events])[names.events]
    begun = replay_record(0), position_record(events_id, 0)
    with ExclusiveWriter(settings, fleet, "grow", "move the devices") as writer:
        _write(writer, [_into(names.state, record, p) for p in range(present, partitions) for record in begun])
        for p in range(present):
            state = _restored(settings, scored, p, positions[p])
            moves = _moves(names.state, state, positions, partitions)
            while chunk := list(islice(moves, CHUNK)):
                writer.write([write for move in chunk for write in move])
                moved += len(chunk)
    return devices, moved


def with_partitions(fleet: FleetSpec, partitions: int) -> FleetSpec:
    """Return the fleet file with this many partitions."""
    return fleet.model_copy(update={"topics": fleet.topics.model_copy(update={"partitions": partitions})})


def _restored(settings: Settings, fleet: FleetSpec, partition: int, position: int) -> PartitionState:
    events = find_events_topic(settings, fleet, datetime.now(UTC))
    rules = rules_so_far(settings, fleet, events.label)
    restored = restore(settings, fleet, rules, _any_kernel(fleet), {partition: position}, events_topic=events)
    if restored.resumed[partition].is_gap:
        raise KafkaError(
            f"{topic_names(fleet).events}, partition {partition}: since a scorer last ran, events were deleted, or the topic was "
            f"created again: start `aimaas score --fleet {fleet.fleet}`, which continues behind the gap, stop it, run this again"
        )
    return restored.states[partition]


def _any_kernel(fleet: FleetSpec) -> Kernel:
    """Return a kernel that keeps the same state as every model's kernel; its features are unused."""
    plan = plan_of(fleet)
    settings, channels = plan.settings, len(plan.channels)
    return kernel_of(plan, Fit(((0.0,) * settings,), (0.0,) * settings, ((0.0,) * channels,), ((1.0,) * channels,)))


def _settle(writer: ExclusiveWriter, topic: str, state: PartitionState) -> None:
    """Write snapshots of all devices with events since their last one, then in one transaction the records that rely on them.

    These are the record that nothing must be read again, and the deletions of forgotten devices' notes. One without the
    other would let the next run read a forgotten device's events again.
    """
    if state.written_replay_from == state.position:
        return
    state.credit_bytes = float("inf")
    records = state.records_to_write()
    _write(writer, (_into(topic, record, state.partition) for record in records if is_snapshot(record)))
    writer.write([_into(topic, record, state.partition) for record in records if not is_snapshot(record)])


def _into(topic: str, record: StateRecord, partition: int) -> Write:
    return Write(topic, record.key, record.value, (), partition)


def _moves(topic: str, state: PartitionState, positions: Offsets, partitions: int) -> Iterator[list[Write]]:
    """Yield for each device that must move its records in the new partition, and the deletions of the old ones.

    The snapshot's input precedes the position of its new partition. The state of alert rules moves along.
    """
    for device, slot in state.devices.devices:
        there = partition_of(device.encode(), partitions)
        if there != state.partition:
            move = [
                _into(topic, device_record(device, positions[there], state.devices.pack(slot)), there),
                _into(topic, deletion(device), state.partition),
            ]
            if device in state.saved_rules:
                move.append(_into(topic, rules_record(device, state.saved_rules[device]), there))
                move.append(_into(topic, rules_record(device, None), state.partition))
            yield move


def _write(writer: ExclusiveWriter, writes: Iterable[Write]) -> None:
    """Write in order, `CHUNK` records a transaction."""
    rest = iter(writes)
    while part := list(islice(rest, CHUNK)):
        writer.write(part)
