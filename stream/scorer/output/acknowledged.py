"""At least once: predictions can be read as soon as the broker has them, and a crash may repeat some of them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

from confluent_kafka import KafkaException, TopicPartition

from aimaas.errors import KafkaError
from aimaas.kafka.failures import explained
from aimaas.kafka.rights import Right, on_topic
from aimaas.settings import Settings
from stream.records.outgoing import Outgoing
from stream.scorer.output.outbox import CommitResult, Progress, TransactionAbortedError
from stream.scorer.output.sender import Sender

_LIMIT_S = 60.0


class Acknowledged:
    """An idempotent producer without transactions. An `Outbox`; not thread-safe.

    Methods raise KafkaError if records do not reach the broker, and TransactionAbortedError if the group took the
    partitions away: the next owner then repeats the outputs since the last commit.
    """

    def __init__(self, settings: Settings, consumer: Any, largest_record: int, rights: Sequence[Right] = ()) -> None:
        self._settings, self._consumer, self._rights = settings, consumer, rights
        self._failed: list[tuple[str, Any]] = []  # topic and error
        self._sender = Sender(settings, largest_record, on_delivery=self._delivered)
        self.opened_at: float | None = None

    def _delivered(self, error: Any, message: Any) -> None:
        if error is not None:
            self._failed.append((message.topic(), error))

    def begin(self) -> None:
        """Note the time of the first record since the last commit."""
        if self.opened_at is None:
            self.opened_at = time.monotonic()

    def produce(self, topic: str, partition: int, records: Iterable[Outgoing]) -> None:
        """Send records; blocks while the producer's queue is full."""
        try:
            self._sender.send(topic, partition, records)
        except KafkaException as e:
            raise explained(self._settings, f"write to {topic}", e.args[0], *self._rights) from None

    def commit(self, progress: Progress) -> CommitResult:
        """Commit in this order, because a restore takes a snapshot as proof that all events before it are answered:

        1. every output is acknowledged; 2. the topic of all input is confirmed; 3. state records are acknowledged; 4. the
        group's positions move (`after_commit`).
        After a crash in between, the outputs since the newest state record or position are sent again.
        """
        started = time.perf_counter()
        self._flush()
        progress.confirm()
        for key, value, partition in progress.state:
            self.produce(progress.state_topic, partition, [(key, value, None)])
        self._flush()
        self.opened_at = None
        return CommitResult(time.perf_counter() - started, time.time())

    def after_commit(self, progress: Progress) -> None:
        """Move the group's positions, once all records before them are answered and saved."""
        offsets = [TopicPartition(progress.topic, p, offset) for p, offset in progress.positions.items()]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as e:
            raise TransactionAbortedError(f"commit offsets: {e.args[0].str()}") from None

    def _flush(self) -> None:
        try:
            left = self._sender.client.flush(_LIMIT_S)
        except KafkaException as e:
            raise explained(self._settings, "write records", e.args[0], *self._rights) from None
        if self._failed:
            topic, error = self._failed[0]
            doing = f"write to {topic} ({left + len(self._failed)} records did not reach it)"
            raise explained(self._settings, doing, error, on_topic("Write", topic))
        if left:
            raise KafkaError(
                f"{left} records did not reach {self._settings.bootstrap_servers} (no acknowledgement for {_LIMIT_S:g} s); start "
                "the scorer again when the cluster answers"
            )

    def abort(self) -> None:
        """Forget uncommitted work. Sent records stay sent, and the scorer that reads from the last commit sends them again."""
        self.opened_at = None

    def check(self) -> None:
        """Do nothing: the calls have limits of their own."""
