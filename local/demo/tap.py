"""A consumer that reads committed predictions and notes the time of each."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from aimaas.kafka import consumer_config
from aimaas.records.events import Prediction
from aimaas.settings import Settings
from local.demo.account import EventKey


@dataclass(frozen=True)
class Seen:
    """One prediction: `sent_at` is the time of the event, `at` the time at which the tap saw it, in seconds since 1970."""

    event: EventKey
    prediction: float
    model_version: str
    sent_at: float
    at: float


def _from_the_beginning(consumer: Consumer, partitions: list[TopicPartition]) -> None:
    consumer.incremental_assign([TopicPartition(p.topic, p.partition, OFFSET_BEGINNING) for p in partitions])


class Tap(threading.Thread):
    """Consumes the predictions topic with `read_committed`, from its beginning until it is stopped."""

    def __init__(self, settings: Settings, topic: str) -> None:
        super().__init__(name="tap", daemon=True)
        self._consumer = Consumer(consumer_config(settings, "demo-downstream"))
        self._consumer.subscribe([topic], on_assign=_from_the_beginning)
        self._stopping = threading.Event()
        self.seen: list[Seen] = []

    def run(self) -> None:
        """Note predictions until stopped."""
        decode = msgspec.json.Decoder(Prediction).decode
        while not self._stopping.is_set():
            messages = self._consumer.consume(500, timeout=0.02)
            now = time.time()
            for m in messages:
                if m.error() is None:
                    p = decode(m.value())
                    self.seen.append(
                        Seen((p.device_id, p.run, p.seq), p.prediction, p.model_version, p.ts.timestamp(), now)
                    )
        self._consumer.close()

    def stop(self) -> None:
        """Stop and leave the group."""
        self._stopping.set()
        self.join(10)

    def await_count(self, count: int, limit_s: float) -> bool:
        """Wait until `count` predictions were seen. Return False if the limit comes first."""
        deadline = time.monotonic() + limit_s
        while len(self.seen) < count and time.monotonic() < deadline:
            time.sleep(0.05)
        return len(self.seen) >= count

    def await_version(self, version: str, limit_s: float) -> bool:
        """Wait until a prediction of this model version was seen. Return False if the limit comes first."""
        deadline = time.monotonic() + limit_s
        at = 0
        while time.monotonic() < deadline:
            upto = len(self.seen)
            if any(s.model_version == version for s in self.seen[at:upto]):
                return True
            at = upto
            time.sleep(0.05)
        return False
