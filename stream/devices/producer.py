"""Sends histories to the topics: encoding, pacing and sending.

Events are sent in the order of time over all devices, each outcome after its event. At full speed the times of simulated
events end now. With a rate, an event carries the time at which it is sent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import TracebackType
from typing import Any, Protocol, Self

import msgspec
import numpy as np
from confluent_kafka import Producer

from aimaas.errors import KafkaError
from aimaas.fleet import FleetSpec
from aimaas.kafka import end_offsets, kafka_errors, producer_config
from aimaas.kafka.failures import explained, is_denied
from aimaas.kafka.rights import on_topic
from aimaas.records.refusal_reasons import Reason
from aimaas.settings import Settings
from aimaas.topics import topic_names
from stream.devices.histories import Ending, Histories, Int64

KeyValue = tuple[bytes, bytes]
Progress = Callable[[int, int], None]  # rows sent, rows in all
Chunk = tuple[list[KeyValue], list[KeyValue], int]  # events, outcomes, and the number of rows so far

FLUSH_LIMIT_S = 60.0  # without any acknowledgement
_CHUNK = 1_000  # rows encoded at once at full speed; more take more memory, and are no faster
_QUEUE_KIB = 32_768  # of records in the client's queue; the client's own limit is a gigabyte
_TICK_S = 0.01  # interval of a paced stream


class Spoiler(Protocol):
    """Adds bad records to a stream; `stream.devices.faults.Faults` is one."""

    def feed(self, records: Sequence[KeyValue]) -> list[tuple[bytes, bytes | None, Reason]]:
        """Return the records with bad ones between them, each with its expected reason."""

    def drain(self) -> list[tuple[bytes, bytes | None, Reason]]:
        """Return bad records that are not sent when the stream ends."""


@dataclass
class Produced:
    """The sent records: good events, outcomes, bad records by reason, and the duration in seconds."""

    events: int = 0
    outcomes: int = 0
    faults: dict[Reason, int] = field(default_factory=dict)
    seconds: float = 0.0


class Encoder:
    """Encodes rows of histories as records, in a few microseconds each."""

    def __init__(self, fleet: FleetSpec, histories: Histories) -> None:
        self._histories = histories
        self._keys = [name.encode() for name in histories.devices]
        self._event, self._readings = _structs(tuple(fleet.readings))
        self._encode = msgspec.json.Encoder().encode  # writes NaN as null

    def events(self, rows: Int64, ts_us: Int64) -> list[KeyValue]:
        """Return key and value of each of the rows (m,), at the times `ts_us` (m,)."""
        h, encode, event, readings, keys = self._histories, self._encode, self._event, self._readings, self._keys
        device = h.device[rows].tolist()
        columns = zip(
            device, h.run[rows].tolist(), h.seq[rows].tolist(), _texts(ts_us), h.values[rows].tolist(), strict=True
        )
        return [
            (keys[d], encode(event(h.fleet, h.devices[d], run, seq, ts, readings(*values))))
            for d, run, seq, ts, values in columns
        ]

    def outcome(self, ending: Ending, ts_us: int) -> KeyValue:
        """Return key and value of an outcome."""
        device = int(self._histories.device[ending.row])
        record = {
            "fleet": self._histories.fleet,
            "device_id": self._histories.devices[device],
            "run": int(self._histories.run[ending.row]),
            "seq": ending.seq,
            "ts": _texts(np.array([ts_us], np.int64))[0],
            "kind": ending.kind,
            **({"mode": ending.mode} if ending.mode else {}),
        }
        return self._keys[device], self._encode(record)


@lru_cache(maxsize=8)  # a replay has an encoder for each chunk
def _structs(names: tuple[str, ...]) -> tuple[Any, Any]:
    """Return the types of an event and of its readings."""
    readings = msgspec.defstruct("Readings", [(name, float) for name in names], gc=False)
    fields = [("fleet", str), ("device_id", str), ("run", int), ("seq", int), ("ts", str), ("readings", readings)]
    return msgspec.defstruct("Event", fields, gc=False), readings


def _texts(ts_us: Int64) -> list[str]:
    """Return the times as RFC 3339 in UTC, with microseconds if there are any."""
    unit: Any = "ms" if not np.any(ts_us % 1000) else "us"
    texts: list[str] = np.datetime_as_string(ts_us.astype("M8[us]"), unit=unit, timezone="UTC").tolist()
    return texts


class Sender:
    """An idempotent producer that reports at the end whether all records arrived."""

    def __init__(self, settings: Settings, largest_bytes: int) -> None:
        self._failed: list[tuple[str, Any]] = []  # topic and error
        config = producer_config(
            settings,
            message_max_bytes=largest_bytes,
            queue_buffering_max_kbytes=_QUEUE_KIB,
            delivery_report_only_error=True,
        )
        self._producer = Producer({**config, "on_delivery": self._delivered})
        self._settings = settings

    def _delivered(self, error: Any, message: Any) -> None:
        if error is not None:
            self._failed.append((message.topic(), error))

    def send(self, topic: str, records: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Queue the records; blocks while the queue is full."""
        produce, poll = self._producer.produce, self._producer.poll
        for key, value in records:
            while True:
                try:
                    produce(topic, value, key)
                    break
                except BufferError:
                    poll(0.05)
        poll(0)
        if self._failed and is_denied(self._failed[0][1]):
            self.finish()

    def finish(self) -> None:
        """Wait until all records are acknowledged. Raises KafkaError if a record did not arrive."""
        left, limit = len(self._producer), time.monotonic() + FLUSH_LIMIT_S
        while (now_left := self._producer.flush(1.0)) and time.monotonic() < limit:
            if now_left < left:
                left, limit = now_left, time.monotonic() + FLUSH_LIMIT_S
        count, where = now_left + len(self._failed), self._settings.bootstrap_servers
        if self._failed:
            topic, error = self._failed[0]
            doing = f"{count} records did not reach {topic}"
            raise explained(self._settings, doing, error, on_topic("Write", topic))
        if count:
            raise KafkaError(
                f"{count} records did not reach {where} (no acknowledgement for {FLUSH_LIMIT_S:g} s); send them again when "
                "the cluster answers"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.finish()
        else:
            self._producer.purge()


def produce(
    settings: Settings,
    fleet: FleetSpec,
    histories: Histories,
    rate: float | None = None,
    faults: Spoiler | None = None,
    progress: Progress | None = None,
    stop: Callable[[], bool] | None = None,
) -> Produced:
    """Send the histories to the fleet's events and outcomes topics; `rate` in events/s over all devices, None for full speed.

    `stop` is checked between chunks; once it is true, no more records are sent. Raises KafkaError.
    """
    return produce_chunks(settings, fleet, _chunks(fleet, histories, rate, stop), len(histories), faults, progress)


def produce_chunks(
    settings: Settings,
    fleet: FleetSpec,
    chunks: Iterable[Chunk],
    total: int,
    faults: Spoiler | None = None,
    progress: Progress | None = None,
) -> Produced:
    """Send the chunks as they arrive; `total` is the number of rows in all. Raises KafkaError."""
    require_topics(settings, fleet)
    names = topic_names(fleet)
    done, began = Produced(), time.monotonic()
    largest = max(1_048_576, 2 * fleet.limits.record_bytes)
    rights = on_topic("Write", names.events), on_topic("Write", names.outcomes)
    with kafka_errors(settings, f"send to fleet {fleet.fleet}", *rights), Sender(settings, largest) as sender:
        for events, outcomes, rows in chunks:
            if faults:
                _send(sender, names.events, faults.feed(events), done)
            else:
                sender.send(names.events, events)
                done.events += len(events)
            sender.send(names.outcomes, outcomes)
            done.outcomes += len(outcomes)
            if progress:
                progress(rows, total)
        if faults:
            _send(sender, names.events, faults.drain(), done)
    done.seconds = time.monotonic() - began
    return done


def require_topics(settings: Settings, fleet: FleetSpec) -> None:
    """Raise KafkaError if the broker or a topic is missing: at once, not after the client's time-out."""
    names = topic_names(fleet)
    for topic in (names.events, names.outcomes):
        end_offsets(settings, topic, operation="Write")


def _send(sender: Sender, topic: str, records: Sequence[tuple[bytes, bytes | None, Reason]], done: Produced) -> None:
    sender.send(topic, [(key, value) for key, value, _ in records])
    for _, _, reason in records:
        if reason == Reason.ADMITTED:
            done.events += 1
        else:
            done.faults[reason] = done.faults.get(reason, 0) + 1


def _chunks(
    fleet: FleetSpec, histories: Histories, rate: float | None, stop: Callable[[], bool] | None
) -> Iterator[Chunk]:
    """Yield encoded events and outcomes in the order of time, as they become due, with the number of rows so far."""
    encoder, order = Encoder(fleet, histories), histories.in_time()
    times = histories.times_us(int(time.time() * 1e6))
    live = rate is not None and histories.ts_us is None and fleet.order == "seq"
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    endings = sorted(histories.endings, key=lambda e: int(place[e.row]))
    next_ending = 0
    for begin, end in due(len(order), rate):
        if stop is not None and stop():
            return
        rows = order[begin:end]
        if live:
            times[rows] = int(time.time() * 1e3) * 1000
        outcomes = []
        while next_ending < len(endings) and place[endings[next_ending].row] < end:
            ending = endings[next_ending]
            outcomes.append(encoder.outcome(ending, int(times[ending.row])))
            next_ending += 1
        yield encoder.events(rows, times[rows]), outcomes, end


def due(total: int, rate: float | None) -> Iterator[tuple[int, int]]:
    """Yield ranges of rows to send now; with a rate, waits for their time. Ends after the last row."""
    began, sent = time.monotonic(), 0
    while sent < total:
        due = sent + _CHUNK if rate is None else int((time.monotonic() - began) * rate) + 1
        if due > sent:
            yield sent, min(due, total)
            sent = min(due, total)
        if rate is not None:
            time.sleep(_TICK_S)
