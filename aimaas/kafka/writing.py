"""Writes a few records and waits until the broker has them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from confluent_kafka import Producer

from aimaas.errors import KafkaError
from aimaas.kafka.clients import ANSWER_LIMIT_S, kafka_errors, producer_config
from aimaas.kafka.failures import explained
from aimaas.kafka.rights import on_topic
from aimaas.settings import Settings


def write_records(settings: Settings, topic: str, records: Iterable[tuple[bytes, bytes]], doing: str) -> None:
    """Write records (key, value) in order into partition 0; returns when the broker has them. Raises KafkaError."""
    right, failed = on_topic("Write", topic), list[Any]()
    with kafka_errors(settings, doing, right):
        producer = Producer(producer_config(settings, message_timeout_ms=int(ANSWER_LIMIT_S * 1_000)))
        for key, value in records:
            producer.produce(
                topic, value, key, partition=0, on_delivery=lambda error, _: failed.append(error) if error else None
            )
        left = producer.flush(ANSWER_LIMIT_S + 5)
    if failed:
        raise explained(settings, doing, failed[0], right)
    if left:
        raise KafkaError(f"{doing}: no answer in time; run this again")
