"""Forwards a fleet's alerts to one receiver, at least once, in the order of each device.

The offset of a record is committed after the receiver has accepted it. The first run begins with the alerts that fire then.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka import KafkaError as ClientError

from aimaas.errors import KafkaError
from aimaas.fleet import FleetSpec
from aimaas.kafka import begin_offsets, consumer_config, end_offsets, kafka_errors
from aimaas.kafka.failures import UNREACHABLE
from aimaas.kafka.rights import in_group, on_topic
from aimaas.logs import logger
from aimaas.records.alerts import Alert
from aimaas.settings import Settings
from aimaas.topics import forwarding_group, topic_names
from stream.alerts.reading import firing_alerts
from stream.alerts.receivers import DeliveryError, Receiver

log = logger("alerts")

_ANSWER_S = 30.0
_PAUSES_S = (1.0, 2.0, 5.0, 10.0, 30.0)
_LOOK_S = 30.0  # new partitions are found this late

_decode = msgspec.json.Decoder(Alert).decode


def forward(
    settings: Settings, fleet: FleetSpec, name: str, make: Callable[[Sequence[Alert]], Receiver], stop: threading.Event
) -> int:
    """Forward until `stop` is set; return the number of delivered records. Raises KafkaError.

    `name` is the receiver's in the consumer group: two processes with one name deliver everything twice. `make` returns the
    receiver from the alerts that fire now.
    """
    topic, group = topic_names(fleet).alerts, forwarding_group(fleet, name)
    with kafka_errors(settings, f"forward {topic}", on_topic("Read", topic), in_group(group)):
        consumer: Any = Consumer(consumer_config(settings, group))
        try:
            return _Forwarder(settings, fleet, consumer, topic, make, stop).run()
        finally:
            consumer.close()


class _Forwarder:
    def __init__(
        self,
        settings: Settings,
        fleet: FleetSpec,
        consumer: Any,
        topic: str,
        make: Callable[[Sequence[Alert]], Receiver],
        stop: threading.Event,
    ) -> None:
        self._settings, self._consumer, self._topic, self._stop = settings, consumer, topic, stop
        first = self._take_up()
        firing = firing_alerts(settings, fleet)
        self._receiver, self._first = make(firing), firing if first else []
        self._delivered = 0

    def run(self) -> int:
        log.info("forwarding alerts", topic=self._topic, to=self._receiver.where)
        if self._first:
            self._insist(partial(self._receiver.deliver, self._first), len(self._first))
        look_at = time.monotonic() + _LOOK_S
        while not self._stop.is_set():
            messages = self._checked(self._consumer.consume(500, 1.0))
            alerts = [_decode(m.value()) for m in messages]
            if alerts and self._insist(partial(self._receiver.deliver, alerts), len(alerts)):
                self._consumer.commit(offsets=_behind(messages), asynchronous=False)
            self._insist(self._receiver.keep_alive)
            if time.monotonic() >= look_at:
                look_at = time.monotonic() + _LOOK_S
                self._take_up()
        return self._delivered

    def _take_up(self) -> bool:
        """Assign all partitions at their committed offsets, if there are new ones. Return whether the group is new.

        A new group begins at the end of the topic, a partition that was added since at its begin.
        """
        begin, end = begin_offsets(self._settings, self._topic), end_offsets(self._settings, self._topic)
        if len(self._consumer.assignment()) == len(end):
            return False
        asked = [TopicPartition(self._topic, p) for p in end]
        found = {tp.partition: tp.offset for tp in self._consumer.committed(asked, _ANSWER_S)}
        is_new = all(offset < 0 for offset in found.values())
        places = {p: self._place(p, found[p], begin[p], end[p] if is_new else begin[p]) for p in end}
        assigned = [TopicPartition(self._topic, p, offset) for p, offset in places.items()]
        self._consumer.commit(offsets=assigned, asynchronous=False)
        self._consumer.assign(assigned)
        return is_new

    def _place(self, partition: int, committed: int, begin: int, otherwise: int) -> int:
        if 0 <= committed < begin:
            log.error(
                "alerts were deleted before they were forwarded", topic=self._topic, partition=partition, first=committed,
                last=begin - 1,
            )  # fmt: skip
        return max(committed, begin) if committed >= 0 else otherwise

    def _checked(self, messages: list[Any]) -> list[Any]:
        """Return the records. Raises KafkaException for an error that does not go away by itself."""
        for m in messages:
            error = m.error()
            if error is None:
                continue
            if error.code() in (ClientError._AUTO_OFFSET_RESET, ClientError.OFFSET_OUT_OF_RANGE):
                raise KafkaError(
                    f"{self._topic}, partition {m.partition()}: retention deleted alerts before they were forwarded; start "
                    "again to continue behind them"
                )
            if error.fatal() or not (error.retriable() or error.code() in UNREACHABLE):
                raise KafkaException(error)
        return [m for m in messages if m.error() is None]

    def _insist(self, call: Callable[[datetime], None], alerts: int = 0) -> bool:
        """Call until the receiver accepts `alerts` records, or `stop` is set. Return whether it accepted."""
        pauses = iter(_PAUSES_S)
        pause_s = next(pauses)
        while not self._stop.is_set():
            try:
                call(datetime.now(UTC))
            except DeliveryError as e:
                log.error("alerts are not delivered yet", reason=str(e), alerts=alerts, again_in_s=pause_s)
                self._stop.wait(pause_s)
                pause_s = next(pauses, pause_s)
            else:
                self._delivered += alerts
                return True
        return False


def _behind(messages: Sequence[Any]) -> list[TopicPartition]:
    last: Mapping[int, Any] = {m.partition(): m for m in messages}
    return [TopicPartition(m.topic(), p, m.offset() + 1) for p, m in last.items()]
