"""Batches that the client cannot unpack, such as a batch larger than 2 GB. Readers skip them only if a person said so.

`aimaas topics skip` notes the offsets of the batch as gaps in the journal. Scorer and landing then continue after the batch.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka import KafkaError as ClientError

from aimaas.admission.journal import Gap, append_to_journal, note_topics, read_journal
from aimaas.errors import KafkaError
from aimaas.fleet import FleetSpec
from aimaas.kafka import READ_LIMIT_S, begin_offsets, consumer_config, end_offsets, kafka_errors
from aimaas.kafka.topic_ids import topic_ids
from aimaas.settings import Settings

_UNREADABLE = {
    ClientError._BAD_COMPRESSION,
    ClientError._BAD_MSG,
    ClientError._CRIT_SYS_RESOURCE,  # not enough memory for the batch
    ClientError.MSG_SIZE_TOO_LARGE,
}


def is_unreadable(error: Any) -> bool:
    """Whether a consumer's error is about the bytes at its offset, so that each retry fails in the same way."""
    return error is not None and error.code() in _UNREADABLE


def cannot_read(message: Any, fleet: FleetSpec | None = None) -> KafkaError:
    """The error to raise for a consumer's error `message` about a batch; its offset is the first of the batch."""
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    name = fleet.fleet if fleet else "…"
    return KafkaError(
        f"topic {topic}, partition {partition}, offset {offset}: the batch cannot be read ({message.error().str()}); to continue "
        f"without it run `aimaas topics skip --fleet {name} --topic {topic} --partition {partition} --offset {offset}`"
    )


class Skipped:
    """The skipped batches of a fleet's topics. The journal is read only if a batch cannot be read."""

    def __init__(self, settings: Settings, fleet: FleetSpec) -> None:
        self._settings, self._fleet = settings, fleet

    def behind(self, message: Any) -> int:
        """The offset after the unreadable batch that this error names. Raises KafkaError unless the batch was skipped."""
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        for gap in gaps_now(self._settings, self._fleet, topic):
            if gap.last is not None and gap.partition == partition and gap.first <= offset <= gap.last:
                return gap.last + 1
        raise cannot_read(message, self._fleet)


def gaps_now(settings: Settings, fleet: FleetSpec, topic: str) -> list[Gap]:
    """The gaps of the topic under its present id. Raises KafkaError."""
    journal = read_journal(settings, fleet)
    label = journal.label(topic, topic_ids(settings, [topic])[topic])
    return [gap for gap in journal.gaps if gap.topic == label]


def skip(settings: Settings, fleet: FleetSpec, topic: str, partition: int, offset: int, now: datetime) -> Gap:
    """Note the unreadable batch with this offset as a gap. Raises KafkaError if the offset can be read or does not exist."""
    first, last, why = find_batch(settings, topic, partition, offset)
    journal = note_topics(settings, fleet, [topic], now)
    label = journal.label(topic, topic_ids(settings, [topic])[topic])
    gaps = [Gap(label, partition, first, last, why, by, now) for by in ("scorer", "land")]
    append_to_journal(settings, fleet, gaps)
    return gaps[0]


def find_batch(settings: Settings, topic: str, partition: int, offset: int) -> tuple[int, int, str]:
    """First and last offset of the unreadable batch that contains this offset, and the client's message. Raises KafkaError.

    A consumer that begins anywhere in a batch gets an error with the batch's first offset, so bisection finds the batch's end.
    """
    with kafka_errors(settings, f"read {topic}"):
        end = end_offsets(settings, topic, "read_uncommitted").get(partition, 0)
        begin = begin_offsets(settings, topic).get(partition, 0)
        found = _error_at(settings, topic, partition, offset) if begin <= offset < end else None
        if found is None:
            raise KafkaError(
                f"topic {topic}, partition {partition}, offset {offset}: it can be read or does not exist; nothing to skip"
            )
        first, why = found.offset(), found.error().str()
        inside, beyond = max(offset, first), end
        while beyond - inside > 1:
            middle = (inside + beyond) // 2
            here = _error_at(settings, topic, partition, middle)
            inside, beyond = (middle, beyond) if here is not None and here.offset() == first else (inside, middle)
    return first, inside, why


def _error_at(settings: Settings, topic: str, partition: int, offset: int) -> Any:
    """The error message of a consumer that begins at an offset; None if it can read there."""
    consumer = Consumer(consumer_config(settings, "aimaas-reader", enable_partition_eof=True, fetch_wait_max_ms=20))
    try:
        consumer.assign([TopicPartition(topic, partition, offset)])
        message = consumer.poll(READ_LIMIT_S)
        while message is not None and message.error() is not None and not _is_answer(message.error()):
            message = consumer.poll(READ_LIMIT_S)
    finally:
        consumer.close()
    if message is None:
        raise KafkaError(f"read {topic}: nothing came for {READ_LIMIT_S:g} s; look into the broker's log")
    return message if is_unreadable(message.error()) else None


def _is_answer(error: Any) -> bool:
    return error.code() in (ClientError._PARTITION_EOF, ClientError._AUTO_OFFSET_RESET) or is_unreadable(error)
