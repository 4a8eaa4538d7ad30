"""Which record of a low-rate topic wakes a DAG up: the trigger in Airflow's triggerer asks this of each record, by its dotted name.

A wake-up makes the DAG run soon, and that run takes all that is on the topics by then. So a record that the broker took before
the last wake-up needs none of its own: a thousand outcomes at once make one run, or two. Whatever a crash between record and run
swallows comes with the DAG's schedule.
"""

from __future__ import annotations

import time
from typing import Any

_woken_ms: dict[str, float] = {}  # when this process last woke the DAG of a topic up


def wake_up(record: Any) -> dict[str, Any] | None:
    """What the asset event says of the record (a `confluent_kafka.Message`): its coordinates; None where it wakes nobody."""
    return decide(record.topic(), record.partition(), record.offset(), record.timestamp()[1], time.time() * 1000)


def decide(topic: str, partition: int, offset: int, taken_ms: float, now_ms: float) -> dict[str, Any] | None:
    """Decide by the broker's time of the record (`taken_ms`), and remember when the last wake-up was."""
    if taken_ms <= _woken_ms.get(topic, float("-inf")):
        return None
    _woken_ms[topic] = now_ms
    return {"topic": topic, "partition": partition, "offset": offset}
