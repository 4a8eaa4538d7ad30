"""Checks before a fleet's topics grow: no scorer runs, no waiting event would lose its device's state, the lake is up to date."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka import KafkaError as ClientError

from aimaas.admission.journal import label_now
from aimaas.admission.partitioner import partition_of
from aimaas.errors import KafkaError, LakeError
from aimaas.fleet import FleetSpec
from aimaas.kafka import ANSWER_LIMIT_S, Offsets, admin, begin_offsets, consumer_config, end_offsets
from aimaas.kafka.topic_ids import topic_ids
from aimaas.kernel.state import DeviceState
from aimaas.lake import held
from aimaas.settings import Settings
from aimaas.topics import scorer_group, topic_names
from stream.state.log_reader import LogReader
from stream.state.saved import read_saved
from upkeep.growth.lake import ADMIT

_POLL_S = 0.1
_MOVING = {
    ClientError.COORDINATOR_NOT_AVAILABLE,
    ClientError.COORDINATOR_LOAD_IN_PROGRESS,
    ClientError.NOT_COORDINATOR,
}
_STABLE_S = 60.0  # a transaction that a killed scorer left open blocks its offsets until it times out


def check_nobody_scores(settings: Settings, fleet: FleetSpec) -> None:
    """Raise KafkaError while the fleet's group of scorers has members."""
    group = scorer_group(fleet)
    members = _members(settings, group)
    if members:
        who = ", ".join(sorted(f"{m.group_instance_id or m.client_id} at {m.host}" for m in members))
        raise KafkaError(
            f"group {group} has members ({who}): stop every scorer of the fleet, then run this again; a killed scorer "
            "remains a member until its session times out (10 s)"
        )


def _members(settings: Settings, group: str) -> Sequence[Any]:
    """Return the members of a group, none if it does not exist. A broker that is new to the group must find a coordinator first."""
    client, limit = admin(settings), time.monotonic() + ANSWER_LIMIT_S
    while True:
        found = client.describe_consumer_groups([group], request_timeout=ANSWER_LIMIT_S)[group]
        try:
            members: Sequence[Any] = found.result(ANSWER_LIMIT_S).members
            return members
        except KafkaException as e:
            if e.args[0].code() == ClientError.GROUP_ID_NOT_FOUND:
                return []
            if e.args[0].code() not in _MOVING or time.monotonic() > limit:
                raise
        time.sleep(_POLL_S)


def read_positions(settings: Settings, fleet: FleetSpec, partitions: int) -> Offsets:
    """Return the next offset to score in each partition of the events topic; 0 for a partition that does not exist yet.

    It is the group's offset, otherwise the state topic's position, otherwise the oldest record's offset.
    """
    topic = topic_names(fleet).events
    begin = begin_offsets(settings, topic)
    committed = _committed(settings, fleet, topic, list(begin))
    expired = [p for p, offset in committed.items() if offset is None]
    saved = saved_positions(settings, fleet, expired) if expired else {}
    return (
        dict.fromkeys(range(partitions), 0)
        | begin
        | saved
        | {p: offset for p, offset in committed.items() if offset is not None}
    )


def saved_positions(settings: Settings, fleet: FleetSpec, partitions: Collection[int]) -> Offsets:
    """Return the positions on the state topic, for the partitions where it has one about the present topic."""
    names = topic_names(fleet)
    events_id, known = topic_ids(settings, [names.events])[names.events], end_offsets(settings, names.state)
    with LogReader(settings) as reader:
        saved = read_saved(reader, names.state, [p for p in partitions if p in known])
    return {p: s.position for p, s in saved.items() if s.position is not None and s.topic_id == events_id}


def commit_where_none_is(settings: Settings, fleet: FleetSpec, positions: Offsets) -> None:
    """Commit an offset for partitions without one, so that a scorer that starts late does not begin after a retention cut."""
    topic, group = topic_names(fleet).events, scorer_group(fleet)
    missing = [p for p, offset in _committed(settings, fleet, topic, list(positions)).items() if offset is None]
    consumer = Consumer(consumer_config(settings, group))
    try:
        if missing:
            consumer.commit(offsets=[TopicPartition(topic, p, positions[p]) for p in missing], asynchronous=False)
    finally:
        consumer.close()


def _committed(settings: Settings, fleet: FleetSpec, topic: str, partitions: list[int]) -> dict[int, int | None]:
    asked = [TopicPartition(topic, p) for p in partitions]
    consumer, limit = Consumer(consumer_config(settings, scorer_group(fleet))), time.monotonic() + _STABLE_S
    try:
        while True:
            try:
                found: list[Any] = consumer.committed(asked, ANSWER_LIMIT_S)
                return {tp.partition: tp.offset if tp.offset >= 0 else None for tp in found}
            except KafkaException as e:
                if e.args[0].fatal() or time.monotonic() > limit:
                    raise
            time.sleep(0.1)
    finally:
        consumer.close()


def astray(settings: Settings, fleet: FleetSpec, positions: Offsets, partitions: int) -> int:
    """Count unscored events that are not in their device's partition after the growth to this many partitions."""
    topic, found = topic_names(fleet).events, 0
    with LogReader(settings, fleet) as reader:
        ends = end_offsets(settings, topic, "read_uncommitted")
        spans = {p: span._replace(begin=max(span.begin, positions[p])) for p, span in reader.spans(topic, ends).items()}
        for p, messages in reader.read(topic, spans):
            found += sum(bool(m.key()) and partition_of(m.key(), partitions) != p for m in messages)
    return found


def check_all_scored(settings: Settings, fleet: FleetSpec, positions: Offsets, partitions: int) -> None:
    """Raise KafkaError if events wait that would be scored without their device's state."""
    waiting = astray(settings, fleet, positions, partitions)
    if waiting:
        raise KafkaError(
            f"{waiting} events of {topic_names(fleet).events} are not scored yet and would lose their devices' state: stop the "
            f"producers, let `aimaas score --fleet {fleet.fleet}` score all events, stop it, then run this again"
        )


def check_lake(settings: Settings, fleet: FleetSpec, positions: Offsets) -> None:
    """Raise LakeError if the fleet's lake has not admitted all scored events, because its devices move too."""
    topic, state = topic_names(fleet).events, held(settings, fleet.fleet, "admission_state", ADMIT)
    if state.version is None and held(settings, fleet.fleet, "bronze", "land").version is None:
        return
    label = label_now(settings, fleet, topic)
    behind = [p for p, offset in positions.items() if state.offsets.get((label, p), 0) < offset]
    if behind:
        raise LakeError(
            f"the lake of fleet {fleet.fleet} has not admitted all of {topic} (partitions {', '.join(map(str, behind))}): run the "
            f"DAG {fleet.fleet}_ingest, or the jobs land and admit, then run this again"
        )


def check_placed(fleet: FleetSpec, partition: int, devices: DeviceState, layouts: Sequence[int]) -> None:
    """Raise KafkaError if a device is in a partition that its key maps to with none of these numbers of partitions."""
    for device, _ in devices.devices:
        if all(partition_of(device.encode(), n) != partition for n in layouts):
            raise KafkaError(
                f"device {device!r} is in partition {partition} of {topic_names(fleet).events}, but murmur2 chooses another for "
                "its key: its producer does not use murmur2_random, so its partition after the growth is unknown; "
                "set the partitioner of all producers, and let their devices start again under another fleet name"
            )
