"""Predictions as rows, in batches with the offsets that they reach."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka import KafkaError as ClientError

from aimaas.errors import KafkaError
from aimaas.events import Prediction
from aimaas.kafka import READ_LIMIT_S, consumer_config, kafka_errors
from aimaas.kafka_failures import UNREACHABLE
from aimaas.logs import logger
from aimaas.outage import outage_of
from aimaas.rights import in_group, on_topic
from aimaas.settings import Settings
from aimaas.topics import READER_GROUP
from stream.export.database import Row
from stream.records.dead_letters import header_list

_POLL_S = 0.5
_BATCH = 5_000  # records

log = logger("export")
_decode = msgspec.json.Decoder(Prediction).decode


@dataclass
class Portion:
    """Rows, the offset of the next record by partition, and how many records were no predictions."""

    rows: list[Row] = field(default_factory=list)
    offsets: dict[int, int] = field(default_factory=dict)
    strange: int = 0


def portions(settings: Settings, topic: str, begin: dict[int, int], end: dict[int, int]) -> Iterator[Portion]:
    """What stands between these offsets, by partition, in portions. Raises KafkaError after 120 s without progress."""
    pending = {p: e for p, e in end.items() if e > begin.get(p, 0)}
    with kafka_errors(settings, f"read {topic}", on_topic("Read", topic), in_group(READER_GROUP)):
        consumer = Consumer(consumer_config(settings, READER_GROUP, enable_partition_eof=True))
        try:
            consumer.assign([TopicPartition(topic, p, begin.get(p, 0)) for p in pending])
            limit = time.monotonic() + READ_LIMIT_S
            while pending:
                portion = _portion(consumer.consume(_BATCH, timeout=_POLL_S), pending)
                limit = time.monotonic() + READ_LIMIT_S if portion.offsets else limit
                outage_of(settings).raise_if_lasting(f"read {topic}")
                if time.monotonic() > limit:
                    raise KafkaError(f"read {topic}: nothing came for {READ_LIMIT_S:g} s; look into the broker's log")
                if portion.offsets:
                    yield portion
        finally:
            consumer.close()


def _portion(messages: list[Any], pending: dict[int, int]) -> Portion:
    """The messages as a portion; partitions that are done go out of `pending`. Raises KafkaException."""
    portion = Portion()
    for message in messages:
        error, partition, offset = message.error(), message.partition(), message.offset()
        if error is None:
            _add(portion, message)
        elif error.code() != ClientError._PARTITION_EOF:
            if error.fatal() or (not error.retriable() and error.code() not in UNREACHABLE):
                raise KafkaException(error)
            continue
        # the end of a partition may lie behind markers of transactions, which are no records
        portion.offsets[partition] = offset + (error is None)
        if portion.offsets[partition] >= pending.get(partition, 0):
            pending.pop(partition, None)
    return portion


def _add(portion: Portion, message: Any) -> None:
    try:
        portion.rows.append(row_of(message))
    except (ValueError, RecursionError) as e:  # msgspec's errors are ValueErrors
        portion.strange += 1
        place = f"{message.topic()}/{message.partition()}/{message.offset()}"
        log.error("no prediction", record=place, error=str(e)[:200])


def row_of(message: Any) -> Row:
    """The row of a consumed prediction. Raises ValueError for what is none."""
    found = msgspec.structs.asdict(_decode(message.value() or b""))
    times = {name: _utc(value) for name, value in found.items() if isinstance(value, datetime)}
    event = dict(header_list(message) or ()).get("ce_id") or b""
    return found | times | {"event": event.decode("utf-8", "replace") or None}


def _utc(time: datetime) -> datetime:
    if time.tzinfo is None:
        raise ValueError(f"its time {time.isoformat()} has no zone")
    return time.astimezone(UTC)
