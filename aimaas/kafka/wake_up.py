"""Decides which records of a low-rate topic wake a DAG up. Airflow's triggerer calls this for each record, by its dotted name.

A wake-up makes the DAG run soon, and that run takes all records that are on the topics by then. So a record that the broker
received before the last wake-up needs no wake-up: a thousand outcomes at once make one run, or two. If a crash between record and
run loses a wake-up, the DAG's schedule takes the record.
"""

from __future__ import annotations

import time
from typing import Any

_woken_ms: dict[str, float] = {}  # the last wake-up of a topic's DAG by this process


def wake_up(record: Any) -> dict[str, Any] | None:
    """The content of the asset event for a record (a `confluent_kafka.Message`): its coordinates; None for no wake-up."""
    return decide(record.topic(), record.partition(), record.offset(), record.timestamp()[1], time.time() * 1000)


def decide(topic: str, partition: int, offset: int, taken_ms: float, now_ms: float) -> dict[str, Any] | None:
    """Decide by the broker's time of the record (`taken_ms`), and remember the time of the last wake-up."""
    if taken_ms <= _woken_ms.get(topic, float("-inf")):
        return None
    _woken_ms[topic] = now_ms
    return {"topic": topic, "partition": partition, "offset": offset}
