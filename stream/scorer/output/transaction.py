"""Kafka transactions, one after another: outputs, device state and input offsets become visible together, or not at all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from confluent_kafka import KafkaError as ClientError
from confluent_kafka import KafkaException, Producer, TopicPartition

from aimaas.errors import KafkaError
from aimaas.kafka import producer_config
from aimaas.kafka.failures import FENCED, explained, is_denied
from aimaas.kafka.rights import Right
from aimaas.settings import Settings
from stream.records.producing import CALL_S, Outgoing, insist, send
from stream.scorer.output.progress import CommitResult, Progress, TransactionAbortedError

_HANGS_S = 20.0  # an attempt that has not returned by then never will (librdkafka issue 5456)


class Transactions:
    """A transactional producer under a stable id: a new owner of the id aborts the transaction that a killed one left open.

    Not thread-safe: only the writer's thread (writer.py) calls it, except `check`. Methods raise TransactionAbortedError
    after they rolled back, and KafkaError for an error that they cannot handle: another process took the id over, the
    broker's ACLs do not grant one of `rights`, or the cluster is out of reach for a minute. Between two transactions it
    pauses for `pause_s` seconds. `fenced_by` says which member has the scorer's name in the group.
    """

    def __init__(
        self,
        settings: Settings,
        transactional_id: str,
        timeout_ms: int,
        largest_record: int,
        pause_s: float = 0.0,
        fenced_by: Callable[[], str] | None = None,
        rights: Sequence[Right] = (),
    ) -> None:
        self._settings, self._id, self._pause_s = settings, transactional_id, pause_s
        self._timeout_s, self._fenced_by, self._rights = timeout_ms / 1e3, fenced_by, rights
        config = producer_config(
            settings,
            message_max_bytes=largest_record,
            queue_buffering_max_messages=1_000_000,
            delivery_report_only_error=True,  # a commit reports the successes
            transactional_id=transactional_id,
            transaction_timeout_ms=timeout_ms,
            # sending offsets waits without limit for a coordinator that went away, until the client connects for another reason
            # (librdkafka issues 5456 and 5511): this gives it one
            topic_metadata_refresh_interval_ms=2_000,
            # The broker still ends the last transaction when the next one sends its offsets. With the client's default retry
            # after 100 ms, a tenth of all commits at 10 ms took ten times as long.
            retry_backoff_ms=5,
        )
        self._producer = Producer(config)
        self._called: tuple[str, float] | None = None  # the client's current call, and its start in monotonic seconds
        self.opened_at: float | None = None  # monotonic seconds of the `begin` that opened; None while none is open
        self._ended_at = 0.0
        self._insist(self._producer.init_transactions, "take over the transactional id")

    def begin(self) -> None:
        """Open a transaction, unless one is open."""
        if self.opened_at is None:
            time.sleep(max(self._ended_at + self._pause_s - time.monotonic(), 0))
            self._insist(lambda _: self._producer.begin_transaction(), "begin a transaction")
            self.opened_at = time.monotonic()

    def produce(self, topic: str, partition: int, records: Iterable[Outgoing]) -> None:
        """Add records; blocks while the producer's queue is full."""
        try:
            send(self._producer, topic, records, partition)
        except KafkaException as e:
            self._give_up(e.args[0], f"write to {topic}")

    def commit(self, progress: Progress) -> CommitResult:
        """Commit the open transaction. The order matters:

        1. state records, which are snapshots of the input before the positions;
        2. the group's positions: for a scorer that lost its partitions this fails, by the group's generation;
        3. the check that all input came from the expected topic;
        4. the commit, which first waits until every record is acknowledged.
        A failure in any step rolls back; after step 3 the scorer rolls back when it ends.
        """
        started = time.perf_counter()
        self._insist(lambda _: self._producer.poll(0), "write records")  # raises fatal errors, such as fencing
        for key, value, partition in progress.state:
            self.produce(progress.state_topic, partition, [(key, value, None)])
        offsets = [TopicPartition(progress.topic, p, offset) for p, offset in progress.positions.items()]
        self._insist(lambda s: self._producer.send_offsets_to_transaction(offsets, progress.group, s), "commit offsets")
        if progress.asked is not None:
            progress.asked.confirm()
        self._insist(self._producer.commit_transaction, "commit a transaction")
        self.opened_at, self._ended_at = None, time.monotonic()
        return CommitResult(time.perf_counter() - started, time.time())

    def abort(self) -> None:
        """Roll back the open transaction, if there is one."""
        if self.opened_at is not None:
            self._insist(self._producer.abort_transaction, "abort a transaction")
            self.opened_at, self._ended_at = None, time.monotonic()

    def check(self) -> None:
        """Raise KafkaError if a call hangs: only ending the process ends such a call. The loop calls it."""
        called = self._called
        if called is not None and time.monotonic() - called[1] > _HANGS_S:
            raise KafkaError(
                f"{called[0]}: the client has not returned for {_HANGS_S:g} s, which happens after a broker went away; nothing is "
                "lost: start the scorer again"
            )

    def _insist(self, call: Callable[[float], object], doing: str) -> None:
        """Call until it succeeds, while the error says that another attempt may."""

        def attempt(seconds: float) -> None:
            self._called = doing, time.monotonic()
            call(seconds)

        try:
            insist(attempt)
        except KafkaException as e:
            self._give_up(e.args[0], doing)
        finally:
            self._called = None

    def _give_up(self, error: Any, doing: str) -> None:
        """Roll back if that can help; always raises."""
        if error.fatal() or error.code() in FENCED:
            open_s = time.monotonic() - (self.opened_at or time.monotonic())
            # the broker ends it; the client would answer an abort with "commit in progress" forever
            self.opened_at = None
            raise self._explained(error, doing, open_s)
        if is_denied(error):
            with suppress(KafkaException):
                self._producer.abort_transaction(CALL_S)
            self.opened_at = None
            raise self._explained(error, doing)
        wants_abort = error.txn_requires_abort() or error.code() == ClientError._STATE
        if not (self.opened_at is not None and wants_abort) or doing.startswith("abort"):
            raise self._explained(error, doing)
        cause = self._cause_of(error)
        self.abort()
        raise TransactionAbortedError(f"{doing}: {cause.str()}")

    def _cause_of(self, error: Any) -> Any:
        """Return the error that ended the open transaction. A call that was under way may only know that the transaction has ended.

        The client names the cause at the next call that it refuses; no call begins a second transaction while one is open.
        """
        if error.code() == ClientError._STATE:
            try:
                self._producer.begin_transaction()
            except KafkaException as e:
                return e.args[0]
        return error

    def _explained(self, error: Any, doing: str, open_s: float = 0.0) -> KafkaError:
        if error.code() == ClientError.FENCED_INSTANCE_ID and self._fenced_by is not None:
            return KafkaError(f"{doing}: {self._fenced_by()}")
        if error.code() in FENCED and open_s >= self._timeout_s:
            return KafkaError(
                f"{doing}: the transaction was open for {open_s:.0f} s, but the broker allows {self._timeout_s:g} s (this "
                "scorer was paused, or its machine was too busy): nothing is lost, start it again"
            )
        if error.code() in FENCED:
            return KafkaError(
                f"{doing}: another scorer with the same --instance took over the transactional id {self._id!r}: give every "
                "scorer its own --instance; nothing is lost"
            )
        return explained(self._settings, doing, error, *self._rights)
