"""The state topic: snapshots of devices beside the input log, and how both give the state back.

`iot.<fleet>.state` is compacted and has the events topic's partitions. Records of partition p, all written in the transactions
that move the group's offset of p:

- key device id, value `upto` (int64, little endian) and the packed device: it holds the device's input before offset `upto`;
- key `REPLAY_FROM` (no device id: not UTF-8), value an offset (int64): every event before it is in its device's snapshot.

Restoring reads both and then the input from `replay_from` to the committed offset; an event before its device's `upto` is passed
over. That input gives the same state again, since admission and kernel depend on nothing else. Snapshots older than the newest
ones are as good as these, they only make the re-read longer: so it does no harm when a commit marker arrives late here.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from aimaas.admission import Judge
from aimaas.errors import KafkaError, StateError
from aimaas.features import Kernel
from aimaas.fleet import FleetSpec
from aimaas.kafka import kafka_errors
from aimaas.logs import logger
from aimaas.settings import Settings
from aimaas.topics import topic_names
from stream.log_reader import LogReader, Span
from stream.partition_state import PartitionState, Snapshot, records_of

REPLAY_FROM = b"\xffreplay_from"
_OFFSET = struct.Struct("<q")

log = logger("scorer.state")


class StateRecord(NamedTuple):
    """Key and value of a record in the state topic."""

    key: bytes
    value: bytes


def snapshot_record(snapshot: Snapshot) -> StateRecord:
    """The record of a device's snapshot."""
    return StateRecord(snapshot.device_id.encode(), _OFFSET.pack(snapshot.upto) + snapshot.packed)


def replay_record(offset: int) -> StateRecord:
    """The record that says from where the input is to be re-read."""
    return StateRecord(REPLAY_FROM, _OFFSET.pack(offset))


class Saved:
    """What the state topic holds of one partition: the newest record of every key."""

    def __init__(self) -> None:
        self.replay_from: int | None = None
        self.snapshots: dict[bytes, bytes] = {}
        self.read_bytes = 0

    def take(self, message: Any) -> None:
        """Note one record of the topic; a later one of the same key replaces it, one without a value deletes it."""
        key, value = message.key(), message.value()
        self.read_bytes += len(key or b"") + len(value or b"")
        if key == REPLAY_FROM:
            self.replay_from = _OFFSET.unpack(value)[0] if value else None
        elif value is None:
            self.snapshots.pop(key, None)
        else:
            self.snapshots[key] = value

    def upto(self) -> dict[bytes, int]:
        """By key, the offset before which the device's snapshot holds the input."""
        return {key: _OFFSET.unpack_from(value)[0] for key, value in self.snapshots.items()}

    def packed(self) -> Iterator[tuple[bytes, bytes]]:
        """Keys with their packed devices."""
        return ((key, value[_OFFSET.size :]) for key, value in self.snapshots.items())


def replay_span(topic: str, partition: int, committed: int, log_span: Span, saved: Saved) -> Span:
    """The input to re-read so that `saved` becomes the state at offset `committed`. Raises StateError where that cannot be."""
    where = f"{topic}, partition {partition}"
    newest = max(saved.upto().values(), default=0)
    if newest > committed:
        raise StateError(
            f"{where}: the state is of offset {newest}, the group's offset is {committed}: set the group's offset to {newest}, "
            "or empty the state topic to score these events again"
        )
    if committed > log_span.end:
        raise StateError(
            f"{where}: the group's offset is {committed}, but the topic ends at {log_span.end}, so it was made anew: "
            "empty the state topic and reset the group's offsets to the earliest"
        )
    if saved.replay_from is None:  # never written, or emptied by a person: what the log still has is what can be known
        return Span(min(log_span.begin, committed), committed)
    if saved.replay_from < min(committed, log_span.begin):
        raise StateError(
            f"{where}: state needs the events from offset {saved.replay_from} on, but retention has deleted those before "
            f"{log_span.begin}: empty the state topic to let devices start anew, and raise topics.retention_days"
        )
    return Span(min(saved.replay_from, committed), committed)


def restore(
    settings: Settings, fleet: FleetSpec, judge: Judge, kernel: Kernel, committed: Mapping[int, int]
) -> dict[int, PartitionState]:
    """State of each partition at its committed offset, from the state topic and the input log.

    Raises StateError when it cannot be had back, KafkaError when the broker does not answer.
    """
    if not committed:
        return {}
    names, started = topic_names(fleet), time.perf_counter()
    with kafka_errors(settings, f"restore state from {names.state}"), LogReader(settings) as reader:
        saved = _read_saved(reader, names.state, list(committed))
        states = {p: _unpacked(fleet, p, offset, saved[p]) for p, offset in committed.items()}
        there = {p: reader.span(names.events, p) for p in committed}
        spans = {p: replay_span(names.events, p, offset, there[p], saved[p]) for p, offset in committed.items()}
        replayed = _replay(reader, names.events, spans, {p: saved[p].upto() for p in saved}, states, judge, kernel)
    for p, offset in committed.items():
        states[p].position, states[p].credit_bytes = offset, 0.0
        if offset < there[p].begin:
            lost = f"{offset} to {there[p].begin - 1}"
            log.error("retention deleted events before they were scored", topic=names.events, partition=p, offsets=lost)
    log.info(
        "state restored", partitions=sorted(committed), devices=sum(len(s.devices) for s in states.values()),
        snapshot_bytes=sum(s.read_bytes for s in saved.values()), replayed_events=replayed.events,
        replayed_bytes=replayed.value_bytes, seconds=round(time.perf_counter() - started, 3),
    )  # fmt: skip
    return states


class _Replayed(NamedTuple):
    events: int
    value_bytes: int


def _read_saved(reader: LogReader, topic: str, partitions: list[int]) -> dict[int, Saved]:
    saved = {p: Saved() for p in partitions}
    for p, messages in reader.read(topic, {p: reader.span(topic, p) for p in partitions}):
        for message in messages:
            saved[p].take(message)
    return saved


def _unpacked(fleet: FleetSpec, partition: int, committed: int, saved: Saved) -> PartitionState:
    state = PartitionState.empty(fleet, partition, committed)
    for key, packed in saved.packed():
        state.devices.unpack(key.decode(), packed)
    state.written_replay_from = -1 if saved.replay_from is None else saved.replay_from
    return state


def _replay(
    reader: LogReader,
    topic: str,
    spans: Mapping[int, Span],
    upto: Mapping[int, Mapping[bytes, int]],
    states: Mapping[int, PartitionState],
    judge: Judge,
    kernel: Kernel,
) -> _Replayed:
    """Put the input of `spans` into the states, without the events that snapshots hold already."""
    events = value_bytes = 0
    for p, messages in reader.read(topic, spans):
        held = upto[p]
        needed = [m for m in messages if m.offset() >= held.get(m.key(), 0)]
        if needed:
            records = records_of(needed)
            states[p].advance(judge, kernel, records)
            events, value_bytes = events + len(records), value_bytes + records.value_bytes
    return _Replayed(events, value_bytes)


def check_partitions(settings: Settings, fleet: FleetSpec, found: Mapping[str, int]) -> None:
    """Raise KafkaError unless all topics that go by the events' partition numbers have as many partitions."""
    names = topic_names(fleet)
    wanted = found.get(names.events, 0)
    for topic in (names.events, names.state, names.predictions, names.dead_letters):
        if found.get(topic, 0) == 0:
            raise KafkaError(
                f"no topic {topic} at {settings.bootstrap_servers}: create the fleet's topics with `aimaas topics create`"
            )
        if found[topic] != wanted:
            raise KafkaError(
                f"topic {topic} has {found[topic]} partitions, {names.events} has {wanted}: device state goes by partition, so "
                "both must have the same number; `aimaas topics grow` grows them all, or finishes a growth that was interrupted"
            )
