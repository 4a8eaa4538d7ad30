"""One Kafka transaction after another: outputs, device state and input offsets become visible together, or not at all."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError as ClientError
from confluent_kafka import KafkaException, Producer, TopicPartition

from aimaas.errors import KafkaError
from aimaas.kafka import producer_config
from aimaas.settings import Settings

_CALL_S = 5.0  # one attempt; an attempt that runs out of time goes on where it was
_LIMIT_S = 60.0  # all attempts
_FENCED = {
    ClientError._FENCED,
    ClientError.INVALID_PRODUCER_EPOCH,
    ClientError.PRODUCER_FENCED,
    ClientError.FENCED_INSTANCE_ID,
}


class TransactionAbortedError(Exception):
    """The transaction cannot be committed and has been rolled back; memory must follow. Never reaches a user."""


class Transactions:
    """A transactional producer under a stable id: a new owner of the id aborts what a killed one left open.

    Not thread-safe. Methods raise TransactionAbortedError after they rolled back, and KafkaError when nothing can be done: another
    process took the id over, or the cluster is out of reach for a minute.
    """

    def __init__(self, settings: Settings, transactional_id: str, timeout_ms: int, largest_record: int) -> None:
        self._where, self._id = settings.bootstrap_servers, transactional_id
        self._producer = Producer(
            producer_config(
                settings,
                transactional_id=transactional_id,
                transaction_timeout_ms=timeout_ms,
                message_max_bytes=largest_record,
                queue_buffering_max_messages=1_000_000,
            )
        )
        self.is_open = False
        self.opened_at = 0.0  # monotonic seconds
        self.records = 0
        self._insist(self._producer.init_transactions, "take over the transactional id")

    def begin(self) -> None:
        """Open a transaction, unless one is open."""
        if not self.is_open:
            self._insist(lambda _: self._producer.begin_transaction(), "begin a transaction")
            self.is_open, self.opened_at, self.records = True, time.monotonic(), 0

    def produce(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Any = None, partition: int = -1
    ) -> None:
        """Add a record; waits while the producer's queue is full."""
        while True:
            try:
                self._producer.produce(topic, value, key, partition, headers=headers)
                self.records += 1
                return
            except BufferError:
                self._producer.poll(0.05)
            except KafkaException as e:
                self._give_up(e.args[0], f"write to {topic}")

    def poll(self) -> None:
        """Let the client serve its callbacks."""
        self._producer.poll(0)

    def commit(self, topic: str, positions: dict[int, int], group: Any) -> None:
        """Commit what was produced together with the group's `positions` (partition -> next offset) in `topic`.

        1. hand the offsets to the transaction: a scorer that lost its partitions fails here, by the group's generation;
        2. commit, which first waits until every record is acknowledged.
        A failure of either rolls back.
        """
        offsets = [TopicPartition(topic, p, offset) for p, offset in positions.items()]
        self._insist(lambda s: self._producer.send_offsets_to_transaction(offsets, group, s), "commit offsets")
        self._insist(self._producer.commit_transaction, "commit a transaction")
        self.is_open = False

    def abort(self) -> None:
        """Roll back the open transaction, if there is one."""
        if self.is_open:
            self._insist(self._producer.abort_transaction, "abort a transaction")
            self.is_open = False

    def _insist(self, call: Callable[[float], object], doing: str) -> None:
        """Call until it succeeds, while the error says that another attempt may."""
        limit = time.monotonic() + _LIMIT_S
        while True:
            try:
                call(_CALL_S)
                return
            except KafkaException as e:
                error = e.args[0]
                if error.retriable() and not error.txn_requires_abort() and time.monotonic() < limit:
                    time.sleep(0.02)  # the client backs off by itself; this only keeps a broken one from spinning
                    continue
                self._give_up(error, doing)

    def _give_up(self, error: Any, doing: str) -> None:
        """Roll back where that can help; always raises."""
        if error.fatal() or error.code() in _FENCED:
            raise self._explained(error, doing)
        wants_abort = error.txn_requires_abort() or error.code() == ClientError._STATE
        if not (self.is_open and wants_abort) or doing.startswith("abort"):
            raise self._explained(error, doing)
        self.abort()
        raise TransactionAbortedError(f"{doing}: {error.str()}")

    def _explained(self, error: Any, doing: str) -> KafkaError:
        if error.code() in _FENCED:
            return KafkaError(
                f"{doing}: another scorer took over the transactional id {self._id!r}, or this one was silent for longer than its "
                "transactions may last; nothing is lost. Give every scorer its own --instance, and start this one again"
            )
        return KafkaError(
            f"{doing}: the broker at {self._where} says: {error.str()}; start the scorer again when it is well"
        )
