"""At least once: predictions can be read as soon as the broker has them, and a crash may send some of them again."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from confluent_kafka import KafkaException, Producer, TopicPartition

from aimaas.errors import KafkaError
from aimaas.kafka import producer_config
from aimaas.settings import Settings
from stream.outbox import Done, Outgoing, Progress, TransactionAbortedError

_LIMIT_S = 60.0


class Acknowledged:
    """An idempotent producer without transactions. An `Outbox`; not thread-safe.

    Methods raise KafkaError when records do not reach the broker, TransactionAbortedError when the group took the partitions away:
    the next owner then sends again what was sent since the last commit.
    """

    def __init__(self, settings: Settings, consumer: Any, largest_record: int) -> None:
        self._where, self._consumer = settings.bootstrap_servers, consumer
        self._failed: list[str] = []
        config = producer_config(settings, message_max_bytes=largest_record, queue_buffering_max_messages=1_000_000)
        self._producer = Producer({**config, "delivery.report.only.error": True, "on_delivery": self._delivered})
        self._commit: Future[Done] | None = None
        self._committer = ThreadPoolExecutor(1, "committer")
        self._begun = False
        self.opened_at = 0.0
        self.records = 0

    def _delivered(self, error: Any, message: Any) -> None:
        if error is not None:
            self._failed.append(f"{message.topic()}: {error.str()}")

    @property
    def is_open(self) -> bool:
        """Whether records wait for a commit to start."""
        return self._begun and self._commit is None

    @property
    def is_committing(self) -> bool:
        """Whether a commit was started and not settled."""
        return self._commit is not None

    def begin(self) -> Done | None:
        """Note when the first record since the last commit came; first waits for the commit under way."""
        done = self.settle()
        if not self._begun:
            self._begun, self.opened_at, self.records = True, time.monotonic(), 0
        return done

    def produce(self, topic: str, partition: int, records: Iterable[Outgoing]) -> None:
        """Add records; waits while the producer's queue is full."""
        produce, count = self._producer.produce, 0
        for count, (key, value, headers) in enumerate(records, 1):  # noqa: B007 - the last one is how many there were
            try:
                produce(topic, value, key, partition, headers=headers)
            except BufferError:
                self._produce_later(topic, value, key, partition, headers)
            except KafkaException as e:
                raise KafkaError(f"write to {topic}: the broker at {self._where} says: {e.args[0].str()}") from None
        self.records += count

    def _produce_later(self, *record: Any) -> None:
        """Add one record once the queue has room."""
        *positional, headers = record
        while True:
            self._producer.poll(0.05)
            try:
                self._producer.produce(*positional, headers=headers)
                return
            except BufferError:
                continue

    def poll(self) -> None:
        """Let the client serve its callbacks."""
        self._producer.poll(0)

    def start_commit(self, progress: Progress) -> None:
        """Begin to commit `progress`; `settle` or `begin` tells how it went."""
        self._commit = self._committer.submit(self._finish, progress)

    def settle(self) -> Done | None:
        """Wait for the commit under way; what it did, None where there is none."""
        if self._commit is None:
            return None
        commit, self._commit = self._commit, None
        return commit.result()

    def _finish(self, progress: Progress) -> Done:
        """The order matters: whoever restores takes a snapshot to mean that all before it has been answered.

        1. every output is acknowledged; 2. state records are; 3. the group's positions move.
        A crash in between sends the outputs since the newest of these again.
        """
        started = time.perf_counter()
        self._flush()
        for key, value, partition in progress.state:
            self.produce(progress.state_topic, partition, [(key, value, None)])
        self._flush()
        offsets = [TopicPartition(progress.topic, p, offset) for p, offset in progress.positions.items()]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as e:
            raise TransactionAbortedError(f"commit offsets: {e.args[0].str()}") from None
        finally:
            self._begun = False
        return Done(time.perf_counter() - started, time.time())

    def _flush(self) -> None:
        left = self._producer.flush(_LIMIT_S)
        if left or self._failed:
            why = self._failed[0] if self._failed else f"no acknowledgement for {_LIMIT_S:g} s"
            raise KafkaError(
                f"{left + len(self._failed)} records did not reach {self._where} ({why}); start the scorer again when it is well"
            )

    def abort(self) -> None:
        """Forget what is not committed; what was sent stays sent, and is sent again by whoever reads from the last commit."""
        with suppress(TransactionAbortedError):
            self.settle()
        self._begun = False
