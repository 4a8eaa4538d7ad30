"""The times when outputs became visible: reads the end of a topic for a read-committed reader every few milliseconds."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from confluent_kafka import IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

from aimaas.kafka import ANSWER_LIMIT_S, Offsets, admin, end_offsets
from aimaas.settings import Settings


@dataclass(frozen=True)
class Sight:
    """The visible end of each partition at a time (monotonic seconds)."""

    at: float
    ends: Offsets

    @property
    def total(self) -> int:
        """Return the offsets over all partitions; commit markers take some."""
        return sum(self.ends.values())


class EndWatch:
    """Asks one broker for the ends of one topic, over one connection, without reading a record."""

    def __init__(self, settings: Settings, topic: str, partitions: int) -> None:
        end_offsets(settings, topic)  # waits until a new topic has its leaders
        self._client: Any = admin(settings)
        self._topic = topic
        self._asked = {TopicPartition(topic, p): OffsetSpec.latest() for p in range(partitions)}

    def look(self) -> Sight:
        """Return the present ends; the time is the middle of the request."""
        while True:
            try:
                return self._look()
            except KafkaException as e:
                if not e.args[0].retriable():
                    raise
                self._client.list_topics(self._topic, timeout=ANSWER_LIMIT_S)  # updates the leaders

    def _look(self) -> Sight:
        before = time.monotonic()
        futures = self._client.list_offsets(
            self._asked, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=ANSWER_LIMIT_S
        )
        ends = {tp.partition: future.result(ANSWER_LIMIT_S).offset for tp, future in futures.items()}
        return Sight((before + time.monotonic()) / 2, ends)
