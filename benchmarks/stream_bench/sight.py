"""The time of each output's sight: a read-committed consumer that notes the time as records arrive.

Python's collector is off, because it would walk over all earlier records for 0.2 s, which is no time of the scorer's.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from confluent_kafka import Consumer, TopicPartition

from aimaas.kafka import Record, consumer_config, record_of
from stream_bench.contenders import ContenderError
from stream_bench.stage import Stage


class Reader:
    """Reads a topic from its beginning, as a downstream system would; `seen` holds (monotonic seconds, record)."""

    def __init__(self, stage: Stage, topic: str) -> None:
        self._consumer = Consumer(consumer_config(stage.settings, "bench-reader", fetch_queue_backoff_ms=1))
        self._consumer.assign([TopicPartition(topic, p, 0) for p in range(stage.partitions)])
        self.seen: list[tuple[float, Record]] = []

    def read_until(self, count: int, limit_s: float, check: Callable[[], object]) -> None:
        """Read until this many records were seen in all; `check` raises if there is nothing left to wait for."""
        limit = time.monotonic() + limit_s
        while len(self.seen) < count:
            messages = self._consumer.consume(1, 0.1)
            if messages:
                messages += self._consumer.consume(5_000, 0)
            now = time.monotonic()
            self.seen += [(now, record_of(m)) for m in messages if m.error() is None]
            check()
            if now > limit:
                raise ContenderError(f"{len(self.seen)} of {count} outputs came within {limit_s:g} s")

    def __enter__(self) -> Self:
        gc.disable()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        gc.enable()
        self._consumer.close()
