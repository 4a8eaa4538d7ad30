"""A producer that blocks its caller while its queue is full."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from confluent_kafka import Producer

from aimaas.kafka import producer_config
from aimaas.settings import Settings
from stream.records.outgoing import Outgoing

_WAIT_S = 0.05


class Sender:
    """A producer of outputs and state; `client` is librdkafka's."""

    def __init__(self, settings: Settings, largest_record: int, **extra: Any) -> None:
        config = producer_config(
            settings,
            message_max_bytes=largest_record,
            queue_buffering_max_messages=1_000_000,
            delivery_report_only_error=True,  # a commit reports the successes
            **extra,
        )
        self.client = Producer(config)

    def send(self, topic: str, partition: int, records: Iterable[Outgoing]) -> None:
        """Add records. Raises KafkaException."""
        produce = self.client.produce
        for key, value, headers in records:
            try:
                produce(topic, value, key, partition, headers=headers)
            except BufferError:
                self._send_later(topic, value, key, partition, headers)

    def _send_later(self, *record: Any) -> None:
        """Add one record once the queue has room."""
        *positional, headers = record
        while True:
            self.client.poll(_WAIT_S)
            try:
                self.client.produce(*positional, headers=headers)
                return
            except BufferError:
                continue
