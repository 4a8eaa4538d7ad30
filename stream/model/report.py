"""Reports the status of announced models on `iot.<fleet>.model_status`. It does not wait for a broker."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import msgspec
from confluent_kafka import KafkaException, Producer

from aimaas.fleet import FleetSpec
from aimaas.kafka import producer_config
from aimaas.kafka.failures import explained
from aimaas.kafka.rights import on_topic
from aimaas.logs import logger
from aimaas.records.events import ModelStatus, State
from aimaas.registry.model_status import key_of
from aimaas.settings import Settings
from aimaas.topics import topic_names

_TRIED_MS = 60_000  # the client tries this long to deliver a report
_LAST_S = 5.0  # and this long at the end

log = logger("scorer.models")


class StatusReporter:
    """Writes the statuses of one scorer, or none if `instance` is None. One thread uses it; lost reports are logged."""

    def __init__(self, settings: Settings, fleet: FleetSpec, instance: str | None) -> None:
        self._settings, self._instance = settings, instance
        self._topic = topic_names(fleet).model_status
        self._producer: Any = None  # created with the first report: most scorers report nothing for days

    def report(self, version: str, sequence: int, state: State, reason: str = "") -> None:
        """Pass a status to the client."""
        if self._instance is None:
            return
        status = ModelStatus(version, sequence, self._instance, state, datetime.now(UTC), reason)
        try:
            if self._producer is None:
                self._producer = Producer(producer_config(self._settings, message_timeout_ms=_TRIED_MS))
            self._producer.produce(self._topic, msgspec.json.encode(status), key_of(status), on_delivery=self._said)
        except (KafkaException, BufferError) as e:
            log.error("status of a model not reported", topic=self._topic, version=version, error=str(e))

    def poll(self) -> None:
        """Handle the delivery results of the reports."""
        if self._producer is not None:
            try:
                self._producer.poll(0)
            except KafkaException as e:
                log.error("status of a model not reported", topic=self._topic, error=str(e))
                self._producer = None

    def close(self) -> None:
        """Wait some seconds for reports that are not delivered yet."""
        if self._producer is not None:
            with suppress(KafkaException):
                self._producer.flush(_LAST_S)

    def _said(self, error: Any, _: Any) -> None:
        if error is not None:
            right = on_topic("Write", self._topic)
            log.error(
                "status of a model not reported", reason=str(explained(self._settings, "report it", error, right))
            )
