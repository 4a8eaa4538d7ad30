"""Calls of a producer that must not fail because its queue is full, or because a call needs another attempt."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from confluent_kafka import KafkaException, Producer

Headers = Sequence[tuple[str, str | bytes | None]] | None
Outgoing = tuple[bytes | None, bytes | None, Headers]  # key, value, headers

LIMIT_S = 60.0  # all attempts
CALL_S = 5.0  # one attempt; an attempt that times out is resumed by the next one
_WAIT_S = 0.05


def send(producer: Producer, topic: str, records: Iterable[Outgoing], partition: int = -1) -> None:
    """Add records; blocks while the producer's queue is full. Without a partition the key decides. Raises KafkaException."""
    produce = producer.produce
    for key, value, headers in records:
        try:
            produce(topic, value, key, partition, headers=headers)
        except BufferError:
            _send_later(producer, topic, value, key, partition, headers)


def _send_later(producer: Producer, *record: Any) -> None:
    """Add one record once the queue has room."""
    *positional, headers = record
    while True:
        producer.poll(_WAIT_S)
        try:
            producer.produce(*positional, headers=headers)
            return
        except BufferError:
            continue


def insist(call: Callable[[float], object]) -> None:
    """Call, with the seconds of an attempt, until it succeeds. Raises KafkaException if the error allows no other attempt."""
    limit = time.monotonic() + LIMIT_S
    while True:
        try:
            call(CALL_S)
            return
        except KafkaException as e:
            if not e.args[0].retriable() or e.args[0].txn_requires_abort() or time.monotonic() > limit:
                raise
        time.sleep(0.02)  # the client backs off by itself; this only keeps a broken client from spinning
