"""Reads ranges of partitions outside any consumer group: for restoring state, and for people's commands on a fleet's topics."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka import KafkaError as ClientError

from aimaas.admission.unreadable_batches import Skipped, cannot_read, is_unreadable
from aimaas.errors import KafkaError
from aimaas.fleet import FleetSpec
from aimaas.kafka import READ_LIMIT_S, consumer_config, kafka_errors
from aimaas.kafka.failures import UNREACHABLE
from aimaas.kafka.outage import outage_of
from aimaas.kafka.rights import in_group, on_topic
from aimaas.settings import Settings
from aimaas.topics import RESTORE_GROUP

_BATCH = 5_000
_POLL_S = 0.1
_ANSWER_S = 30.0


class Span(NamedTuple):
    """Offsets from `begin` on and before `end`."""

    begin: int
    end: int


class LogReader:
    """A consumer that reads committed records, partition by partition; use it in a `with` statement."""

    def __init__(self, settings: Settings, fleet: FleetSpec | None = None) -> None:
        """With a `fleet` it continues behind batches that `aimaas topics skip` noted."""
        self._settings, self._outage = settings, outage_of(settings)
        self._skipped = None if fleet is None else Skipped(settings, fleet)
        self._consumer = Consumer(
            consumer_config(
                settings,
                RESTORE_GROUP,
                enable_partition_eof=True,
                fetch_queue_backoff_ms=20,
                fetch_wait_max_ms=20,  # an answer without records shows the end, and the broker delays such an answer this long
            )
        )

    def __enter__(self) -> LogReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def span(self, topic: str, partition: int) -> Span:
        """Return the oldest present offset, and the end of the committed records (an open transaction ends them)."""
        with self._errors(topic):
            begin, end = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), _ANSWER_S)
        return Span(begin, end)

    def spans(self, topic: str, ends: Mapping[int, int], since_ms: int | None = None) -> dict[int, Span]:
        """Return the spans from the oldest present record, or from the first at or after `since_ms` (ms since 1970), to `ends`."""
        if since_ms is None:
            return {p: Span(self.span(topic, p).begin, end) for p, end in ends.items()}
        asked = [TopicPartition(topic, p, since_ms) for p in ends]
        found = self._consumer.offsets_for_times(asked, timeout=_ANSWER_S) if asked else []
        return {
            tp.partition: Span(tp.offset if tp.offset >= 0 else ends[tp.partition], ends[tp.partition]) for tp in found
        }

    def read(self, topic: str, spans: Mapping[int, Span]) -> Iterator[tuple[int, list[Any]]]:
        """Yield (partition, messages) until every partition has reached its end; messages come in the order of offsets.

        Markers and aborted records take offsets but are not delivered. So the client's end-of-partition event, or a record
        at or past the end, shows the end, never a count. Raises KafkaError after 120 s without progress, and at a batch
        that cannot be read.
        """
        pending = {p: span.end for p, span in spans.items() if span.end > span.begin}
        self._consumer.assign([TopicPartition(topic, p, spans[p].begin) for p in pending])
        limit = time.monotonic() + READ_LIMIT_S
        while pending:
            with self._errors(topic):
                messages = _checked(self._consumer.consume(_BATCH, _POLL_S), pending)
            self._outage.raise_if_lasting(f"read {topic}")
            if messages:
                limit = time.monotonic() + READ_LIMIT_S
            elif time.monotonic() > limit:
                raise KafkaError(f"read {topic}: nothing came for {READ_LIMIT_S:g} s; look into the broker's log")
            yield from _within([m for m in messages if not self._is_skipped(m, pending)], pending).items()
        self._consumer.unassign()

    def _is_skipped(self, message: Any, pending: dict[int, int]) -> bool:
        """Continue behind a skipped batch, if this is its error. A partition that ends there leaves `pending`."""
        partition = message.partition()
        if not is_unreadable(message.error()) or partition not in pending:
            return False
        if self._skipped is None:
            raise cannot_read(message)
        behind = self._skipped.behind(message)
        if behind >= pending[partition]:
            del pending[partition]
        else:
            self._consumer.seek(TopicPartition(message.topic(), partition, behind))
        return True

    def _errors(self, topic: str) -> AbstractContextManager[None]:
        return kafka_errors(self._settings, f"read {topic}", on_topic("Read", topic), in_group(RESTORE_GROUP))


def _checked(messages: list[Any], pending: Mapping[int, int]) -> list[Any]:
    """Return the messages. Raises KafkaException for an error that ends the reading of a `pending` partition, or of all."""
    for message in messages:
        error = message.error()
        if error is None or error.code() == ClientError._PARTITION_EOF:
            continue
        if is_unreadable(error) or (message.partition() >= 0 and message.partition() not in pending):
            continue
        if error.fatal() or not (error.retriable() or error.code() in UNREACHABLE):
            raise KafkaException(error)
    return messages


def _within(messages: list[Any], pending: dict[int, int]) -> dict[int, list[Any]]:
    """Return the messages before their partition's end, by partition. A partition that has reached its end leaves `pending`."""
    found: dict[int, list[Any]] = defaultdict(list)
    for message in messages:
        error, partition, offset = message.error(), message.partition(), message.offset()
        if partition not in pending:
            continue
        if error is None:
            if offset < pending[partition]:
                found[partition].append(message)
            if offset + 1 >= pending[partition]:
                del pending[partition]
        elif error.code() == ClientError._PARTITION_EOF and offset >= pending[partition]:
            del pending[partition]
    return found
