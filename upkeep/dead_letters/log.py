"""The state of refused events by the topics: resent events, predicted events, and all records of their devices.

The logs themselves are the only record of a replay. They are read up to the last record, committed or not, so that no
committed record of an earlier replay is overlooked behind another process's open transaction.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aimaas.admission.journal import label_now
from aimaas.admission.judge import Judge
from aimaas.fleet import FleetSpec
from aimaas.kafka import begin_offsets, end_offsets, kafka_errors
from aimaas.kernel.state import DeviceState
from aimaas.settings import Settings
from aimaas.topics import topic_names
from stream.records.dead_letters import Source, original_of, source_of
from stream.state.log_reader import LogReader, Span
from stream.state.records import packed_of
from stream.state.saved import Saved

CLOCKS_MS = 3_600_000  # the clocks of broker and scorers differ by less

OrderKey = tuple[int, int]  # (run, order)
Content = tuple[int, bytes]  # time in µs, and the readings' bits


class Sent(NamedTuple):
    """A record of the events topic, from a device or a replay; `broker_ms` is its broker time."""

    source: Source
    broker_ms: int
    key: bytes
    value: bytes | None


class Event(NamedTuple):
    """The part of a decoded record that admission needs: its device, place in the device's order, and content."""

    device_id: str
    at: OrderKey
    content: Content


@dataclass
class Account:
    """The results of refused events: their `copies` in the events topic, oldest first, and all sources that have a prediction.

    `partitions` is the number of partitions of the predictions topic. For each partition that has lost records to
    retention, `oldest_ms` has the time of its oldest record (ms since 1970), or None if it is empty.
    """

    copies: dict[Source, list[Source]] = field(default_factory=lambda: defaultdict(list))
    predicted: set[Source] = field(default_factory=set)
    partitions: int = 1
    oldest_ms: dict[int, int | None] = field(default_factory=dict)

    def is_predicted(self, origin: Source) -> bool:
        """Return whether the event or a copy of it has a prediction."""
        return not self.predicted.isdisjoint({origin, *self.copies.get(origin, ())})


@dataclass
class DeviceLog:
    """The present records of some devices on the events topic, in the order of time.

    `complete`: nothing was deleted yet, and it is the first topic of its name.
    """

    sent: dict[bytes, list[Sent]]
    complete: bool


def read_account(settings: Settings, fleet: FleetSpec, since_ms: int) -> Account:
    """Read the results of events since the time of a dead letter (ms since 1970). Raises KafkaError."""
    names, account, since = topic_names(fleet), Account(), max(since_ms - CLOCKS_MS, 0)
    label = label_now(settings, fleet, names.events)
    copies: list[tuple[int, Source, Source]] = []
    for message in _records(settings, fleet, names.events, since):
        origin = original_of(message, names.events, settings.replay_key)
        if origin is not None:
            copies.append((message.timestamp()[1], origin, _source(message, label)))
    for _, origin, copy in sorted(copies):
        account.copies[origin].append(copy)
    for message in _records(settings, fleet, names.predictions, since):
        source = source_of(message)
        if source is not None:
            account.predicted.add(source)
    begins = begin_offsets(settings, names.predictions)  # after the reading, because retention may have gone on since
    account.partitions = len(begins)
    account.oldest_ms = _oldest_ms(settings, names.predictions, {p: begin for p, begin in begins.items() if begin > 0})
    return account


def _oldest_ms(settings: Settings, topic: str, begins: Mapping[int, int]) -> dict[int, int | None]:
    """Return the time of each partition's first record from this offset on; None if there is none."""
    ends, oldest = end_offsets(settings, topic, "read_uncommitted"), {}
    with kafka_errors(settings, f"read {topic}"), LogReader(settings) as reader:
        for p, begin in begins.items():
            first = next(reader.read(topic, {p: Span(begin, ends[p])}), None)
            oldest[p] = None if first is None else first[1][0].timestamp()[1]
    return oldest


def read_device_log(settings: Settings, fleet: FleetSpec, keys: Set[bytes]) -> DeviceLog:
    """Read all records of these devices on the events topic, over all partitions. Raises KafkaError."""
    topic, sent = topic_names(fleet).events, defaultdict(list)
    label = label_now(settings, fleet, topic)
    complete = label == topic and not any(begin_offsets(settings, topic).values())
    for message in _records(settings, fleet, topic, None):
        if message.key() in keys:
            source = _source(message, label)
            sent[message.key()].append(Sent(source, message.timestamp()[1], message.key(), message.value()))
    for records in sent.values():
        records.sort(key=lambda r: (r.broker_ms, r.source))
    return DeviceLog(sent, complete)


def read_newest(settings: Settings, fleet: FleetSpec, keys: Set[bytes]) -> dict[bytes, OrderKey]:
    """Return the newest order key of these devices by the scorer's snapshots, without devices that have none. Raises KafkaError."""
    topic, saved, state = topic_names(fleet).state, Saved(), DeviceState.of(fleet)
    for message in _records(settings, fleet, topic, None):
        if message.key() in keys:
            saved.take(message)
    newest = {}
    for key, value in saved.devices.items():
        if packed := packed_of(value):
            state.unpack(key.decode(), packed)
            (slot,) = state.slots([key.decode()]).tolist()
            newest[key] = int(state.run[slot]), int(state.newest[slot])
    return newest


def events_of(judge: Judge, sent: list[Sent]) -> list[Event | None]:
    """Decode each record without its history; None if it cannot be admitted after any history."""
    batch = judge.decode([s.key for s in sent], [s.value for s in sent])
    found: list[Event | None] = [None] * len(sent)
    for row in batch.admitted.tolist():
        content = int(batch.ts_us[row]), batch.values[row].tobytes()
        event = Event(batch.device_ids[row], (int(batch.run[row]), int(batch.order[row])), content)
        found[int(batch.at[row])] = event
    return found


def _records(settings: Settings, fleet: FleetSpec, topic: str, since_ms: int | None) -> Iterator[Any]:
    ends = end_offsets(settings, topic, "read_uncommitted")
    with kafka_errors(settings, f"read {topic}"), LogReader(settings, fleet) as reader:
        for _, messages in reader.read(topic, reader.spans(topic, ends, since_ms)):
            yield from messages


def _source(message: Any, label: str) -> Source:
    return Source(label, message.partition(), message.offset())
