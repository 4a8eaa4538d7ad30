"""When the newest prediction was made that a reader of committed records can see; survives a broker that is killed."""

from __future__ import annotations

import logging

from confluent_kafka import Consumer, TopicPartition

from aimaas.kafka import consumer_config
from tests.stream.conftest import PARTITIONS, Line

_BATCH = 5_000


class Watch:
    """Reads a line's predictions from the beginning."""

    def __init__(self, line: Line) -> None:
        quiet = logging.getLogger("chaos.watch")  # it says again and again that the killed broker does not answer
        quiet.setLevel(logging.CRITICAL)
        self._consumer = Consumer({**consumer_config(line.settings, "chaos-watch"), "logger": quiet})
        self._consumer.assign([TopicPartition(line.names.predictions, p, 0) for p in range(PARTITIONS)])
        self._newest_ms = 0

    def newest_s(self, timeout_s: float) -> float:
        """Read what is there within a moment; the scorer's time of the newest prediction so far, in seconds since 1970."""
        times = [m.timestamp()[1] for m in self._consumer.consume(_BATCH, timeout_s) if m.error() is None]
        self._newest_ms = max(self._newest_ms, *times, 0)
        return self._newest_ms / 1e3

    def close(self) -> None:
        """Leave the broker alone."""
        self._consumer.close()
