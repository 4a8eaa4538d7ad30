"""A paced load of good events with bad ones among them, and what the broker acknowledged of it."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import Producer

from aimaas.admission.judge import Reason
from aimaas.kafka import Record, producer_config
from aimaas.settings import Settings
from aimaas.topics import topic_names
from stream.devices.faults import FAULTS, Faults
from stream.devices.producer import Encoder
from stream.devices.simulator import simulate
from tests.stream.conftest import silencing

_TICK_S = 0.02
_ROWS_OF_A_DEVICE = 120  # the shortest life that the simulator gives an engine
_FLUSH_S = 60.0


class Load:
    """Sends `rate` events a second in a thread, 1 % of them bad in every way, until it is ended but at least `least` of them.

    One device sends what a silent model has no answer for. What is there to be sent is enough for `most_s` seconds. The producer is
    idempotent and waits for a broker that is away.
    """

    def __init__(self, settings: Settings, fleet: Any, rate: float, least: int, most_s: float) -> None:
        self._topic, self._rate, self._least = topic_names(fleet).events, rate, least
        total = int(rate * most_s)
        histories = simulate(fleet, total // _ROWS_OF_A_DEVICE + 1, seed=1)
        self._order, self._encoder = histories.in_time()[:total], Encoder(fleet, histories)
        self._times = histories.times_us(int(time.time() * 1e6))
        self._silencing = histories.devices[int(histories.device[self._order[0]])].encode()
        bad = dict.fromkeys(FAULTS, max(1, total // 100 // len(FAULTS)))
        self._faults = Faults(fleet, bad, total, 1, datetime.now(UTC))
        quiet = logging.getLogger("chaos.load")  # it says again and again that the killed broker does not answer
        quiet.setLevel(logging.CRITICAL)
        self._producer = Producer({**producer_config(settings), "logger": quiet})
        self._ending, self._thread = threading.Event(), threading.Thread(target=self._run, name="load")
        self.good = self.bad = 0
        self.refused_by_broker: list[str] = []
        self.acknowledged: dict[tuple[int, int], bytes] = {}  # partition and offset -> digest of the record
        self.began_at = 0.0  # monotonic seconds
        self.took_s = 0.0

    def start(self) -> None:
        """Begin to send."""
        self.began_at = time.monotonic()
        self._thread.start()

    @property
    def is_on(self) -> bool:
        """Whether it still sends."""
        return self._thread.is_alive()

    def end(self) -> None:
        """Stop when enough was sent, and return when all of it is acknowledged."""
        self._ending.set()
        self._thread.join()
        self.took_s = time.monotonic() - self.began_at
        assert self._producer.flush(_FLUSH_S) == 0

    def _run(self) -> None:
        sent = 0
        while sent < len(self._order) and not (self._ending.is_set() and sent >= self._least):
            due = min(int((time.monotonic() - self.began_at) * self._rate) + 1, len(self._order))
            rows = self._order[sent:due]
            events = self._encoder.events(rows, self._times[rows])
            self._send(self._faults.feed([(k, silencing(v) if k == self._silencing else v) for k, v in events]))
            sent = max(due, sent)
            time.sleep(_TICK_S)
        self._send(self._faults.drain())

    def _send(self, records: list[tuple[bytes, bytes | None, Reason]]) -> None:
        for key, value, reason in records:
            self.good += reason == Reason.ADMITTED
            self.bad += reason != Reason.ADMITTED
            self._producer.produce(self._topic, value, key, on_delivery=self._delivered)
        self._producer.poll(0)

    def _delivered(self, error: Any, message: Any) -> None:
        if error is None:
            place = message.partition(), message.offset()
            self.acknowledged[place] = _digest(message.key(), message.value())
        else:
            self.refused_by_broker.append(error.str())

    def lost(self, records: list[Record]) -> int:
        """How many acknowledged ones are not where they were said to be, in all `records` of the topic."""
        there = {(r.partition, r.offset): _digest(r.key, r.value) for r in records}
        return sum(there.get(place) != digest for place, digest in self.acknowledged.items())


def _digest(key: bytes | None, value: bytes | None) -> bytes:
    return hashlib.blake2b((key or b"") + b"\0" + (value or b""), digest_size=8).digest()
