"""The lag of a scorer: the committed end of each partition against the scorer's position.

An admin client asks for the ends once a second, without waiting. The consumer's own values are no use here (measured with
librdkafka 2.16 under read_committed). Its cached high watermark counts transactions that are still open, and it stands
still together with a partition that is not fetched, as the client's statistics do. A request through the consumer waits
behind its fetches, half a second for each partition.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from concurrent.futures import Future
from typing import Any, NamedTuple

from confluent_kafka import IsolationLevel, TopicPartition
from confluent_kafka.admin import OffsetSpec

from aimaas.kafka import ANSWER_LIMIT_S, Offsets, admin
from aimaas.settings import Settings


class Place(NamedTuple):
    """A partition's next offset to read, and the offset after its last committed record."""

    position: int
    end: int

    @property
    def lag(self) -> int:
        """Number of unread offsets.

        Transaction markers of the senders take some, so it is the number of events or a little more.
        """
        return max(self.end - self.position, 0)


class LagWatch:
    """Measures how far a consumer is behind in `topic`. Not thread-safe; no call waits for a broker."""

    def __init__(self, settings: Settings, topic: str, every_s: float = 1.0) -> None:
        self._topic, self._every_s = topic, every_s
        self._client = admin(settings, connected=False)
        self._asked: dict[int, Future[Any]] = {}
        self._next_at = 0.0

    def look(self, consumer: Any, positions: Mapping[int, int], now: float) -> dict[int, Place] | None:
        """Return places of the partitions of `positions`, once for each answer; None while there is no answer.

        `positions` has the next offset of each partition, in case the consumer has delivered nothing of it yet. `now` is in
        monotonic seconds. A partition whose end the broker did not report is left out.
        """
        self._client.poll(0)  # otherwise answers pile up in the client
        ends = self._answers()
        if not self._asked and positions and now >= self._next_at:
            self._next_at = now + self._every_s
            self._ask(positions)
        if not ends:
            return None
        standing = positions_of(consumer, self._topic, positions)
        return {p: Place(standing[p], end) for p, end in ends.items() if p in standing}

    def _ask(self, partitions: Collection[int]) -> None:
        latest = {TopicPartition(self._topic, p): OffsetSpec.latest() for p in partitions}
        futures = self._client.list_offsets(
            latest, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=ANSWER_LIMIT_S
        )
        self._asked = {tp.partition: future for tp, future in futures.items()}

    def _answers(self) -> Offsets:
        """Return the answers once all are there; ask again if the broker does not answer."""
        if not all(future.done() for future in self._asked.values()):
            return {}
        asked, self._asked = self._asked, {}
        return {p: future.result().offset for p, future in asked.items() if future.exception() is None}


def positions_of(consumer: Any, topic: str, known: Mapping[int, int]) -> Offsets:
    """Return the consumer's positions in the partitions of `known`, or the `known` ones if it delivered nothing since a seek.

    The consumer's own position passes transaction markers and aborted records, which no delivered record does.
    """
    found = consumer.position([TopicPartition(topic, p) for p in known])
    return {tp.partition: tp.offset if tp.offset >= 0 else known[tp.partition] for tp in found}
