"""Finds out that a partition was read up to a time, although no event came since: then silent devices can fire alerts.

While events come, their broker times tell how late it is. In a quiet partition nothing does. This asks the cluster for the end
of the log, with records of open transactions, and notes when it asked. Once the scorer has read up to that end, no event
before that time is left unread.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from confluent_kafka import IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

from aimaas.kafka import admin
from aimaas.settings import Settings

_LOOK_S = 1.0
_CLOCKS_MS = 5_000  # the broker's clock may be this much behind ours
_ANSWER_S = 3_600.0  # as in `orphans`


class SilenceWatch:
    """Asks once a second for the ends of partitions in which a deadline has passed, without waiting for the answer."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self._admin, self._topic = admin(settings, connected=False), topic
        self._asked: dict[int, Future[Any]] = {}
        self._asked_ms = 0
        self._next_at = 0.0

    def read_up_to(
        self, now: float, wall_ms: int, deadlines: Mapping[int, int], positions: Mapping[int, int]
    ) -> dict[int, int]:
        """Return the partitions that were read up to their deadline (broker time in ms), with the time up to which.

        `now` is in monotonic seconds, `wall_ms` the present time, `positions` the next offsets to read.
        """
        due = [p for p, deadline in deadlines.items() if deadline + _CLOCKS_MS <= wall_ms]
        if not due and not self._asked:
            return {}
        self._admin.poll(0)
        if self._asked:
            return self._answered(positions) if all(f.done() for f in self._asked.values()) else {}
        if now >= self._next_at:
            self._next_at, self._asked_ms = now + _LOOK_S, wall_ms - _CLOCKS_MS
            asked = {TopicPartition(self._topic, p): OffsetSpec.latest() for p in due}
            found = self._admin.list_offsets(
                asked, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=_ANSWER_S
            )
            self._asked = {tp.partition: future for tp, future in found.items()}
        return {}

    def _answered(self, positions: Mapping[int, int]) -> dict[int, int]:
        asked, self._asked = self._asked, {}
        found = {}
        for p, future in asked.items():
            try:
                end = future.result().offset
            except KafkaException:  # the next look asks again
                continue
            if positions.get(p, -1) >= end:
                found[p] = self._asked_ms
        return found
