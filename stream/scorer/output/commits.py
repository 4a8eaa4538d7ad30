"""Commits: decides what is in the open transaction, when it is committed, and which state records it contains."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from aimaas.errors import KafkaError
from aimaas.fleet import FleetSpec
from aimaas.kafka.topic_watch import TopicWatch
from aimaas.logs import logger
from aimaas.topics import topic_names
from stream.scorer.monitor import Monitor
from stream.scorer.options import ScorerOptions
from stream.scorer.output.progress import CommitResult, Progress, TransactionAbortedError
from stream.scorer.output.transaction import Transactions
from stream.scorer.output.writer import Work, Writer
from stream.scorer.partitions import Partitions
from stream.state.partition import PartitionState

log = logger("scorer")

_MAX_ABORTS = 8  # in a row, before the scorer stops with an error
_PARTING_BYTES = 8_000_000  # snapshots of a partition that is given up: the next owner re-reads less


class Commits:
    """The last step of the pipeline. Only the loop's thread calls it, also within the callbacks of a rebalance.

    Methods raise TransactionAbortedError after the work since the last commit was rolled back: state and positions must
    then be restored from the topics. They raise KafkaError for an error that they cannot handle.
    """

    def __init__(
        self,
        fleet: FleetSpec,
        options: ScorerOptions,
        consumer: Any,
        transactions: Transactions,
        topics: TopicWatch,
        partitions: Partitions,
        monitor: Monitor,
    ) -> None:
        self._names, self._options, self._consumer = topic_names(fleet), options, consumer
        self._topics, self._partitions, self._monitor = topics, partitions, monitor
        self._writer = Writer(transactions, self._committed)
        self._started_at = 0.0  # monotonic seconds of the last commit
        self._touched: set[int] = set()  # partitions with work since then
        self._aborts: list[str] = []  # the reasons of the aborts since the last successful commit

    @property
    def is_under_way(self) -> bool:
        """Return whether a commit has started and not ended."""
        return self._writer.is_committing

    @property
    def has_work(self) -> bool:
        """Return whether anything was written since the last commit started."""
        return bool(self._writer.records)

    def due_in_s(self) -> float:
        """Return the seconds until the next commit is due."""
        return max(self._started_at + self._options.commit_interval_ms / 1e3 - time.monotonic(), 0.0)

    def write(self, partitions: Iterable[int], work: Work, records: int) -> None:
        """Have the writer run `work`, which covers `records` of these partitions, in the open transaction or a new one.

        Blocks while the writer has three tasks.
        """
        self._touched.update(partitions)
        self._writer.write(work, records)
        self._monitor.opened(self._writer.opened_at or time.monotonic())

    def look(self) -> None:
        """Handle the tasks that have ended. Does not block."""
        self._writer.look()

    def commit_if_due(self) -> bool:
        """Start a commit if one is due; return whether it started. Does not wait for its end."""
        if not self._is_due():
            return False
        self._start()
        return True

    def commit(self) -> None:
        """Commit all work. Blocks until the commit has ended."""
        self._writer.drain()
        self._start()
        self._writer.drain()

    def save_positions(self) -> None:
        """Commit the positions that the topics do not hold yet, without moving the time of the next commit."""
        unsaved, due_since = self._partitions.unsaved.intersection(self._partitions.states), self._started_at
        if not unsaved or self.is_under_way:
            return
        for p in unsaved:
            self.write([p], lambda _: None, 1)
        self._partitions.unsaved.clear()
        self._start()
        self._started_at = due_since

    def save_idle_devices(self) -> None:
        """While the stream is quiet, save devices that have waited long, because retention may delete their events."""
        if self.has_work or self.is_under_way:
            return
        before_ms = (time.time() - self._options.settle_s) * 1e3
        waiting = [s for s in self._partitions.states.values() if (s.oldest_dirty_ms or before_ms) < before_ms]
        if waiting:
            self._save_more(waiting)
            self.commit()

    def hand_over(self, partitions: list[int]) -> None:
        """Commit all work before `partitions` are given up, with snapshots so that the next owner re-reads little. Blocks."""
        states = self._partitions.states
        try:
            self._save_more([s for p in partitions if (s := states.get(p)) and s.dirty])
            self.commit()
        except TransactionAbortedError:
            self._touched.clear()
            raise

    def save_all(self, partitions: list[int]) -> None:
        """Commit all work, with a snapshot of every device of `partitions` that waits for one. Blocks."""
        states = [self._partitions.states[p] for p in partitions]
        self.commit()
        while waiting := [s for s in states if s.dirty]:
            self._save_more(waiting)
            self.commit()

    def abandon(self) -> None:
        """Forget the open transaction: its partitions have other owners now."""
        self._touched.clear()
        self._writer.abort()
        self._monitor.aborted()

    def forget_aborted(self, why: str) -> None:
        """Forget the work of an aborted transaction, and pause for up to 2 s. Raises KafkaError after eight aborts in a row."""
        self._aborts.append(why)
        self._monitor.aborted()
        log.warning("transaction aborted", reason=why, in_a_row=len(self._aborts))
        if len(self._aborts) >= _MAX_ABORTS:
            whys = "; ".join(dict.fromkeys(self._aborts))  # a reason may be a consequence of an earlier one
            raise KafkaError(
                f"{_MAX_ABORTS} transactions in a row were aborted, because: {whys}; none of them was committed: "
                "remove the cause and start the scorer again"
            )
        time.sleep(min(0.05 * 2 ** len(self._aborts), 2.0))
        self._touched.clear()

    def give_up(self) -> None:
        """Roll back before a failure ends the scorer: memory may hold half a batch, and an open transaction blocks readers."""
        with suppress(KafkaError):
            self._writer.abort()

    def close(self) -> None:
        """End the writer's thread."""
        self._writer.close()

    def _is_due(self) -> bool:
        """Return whether a commit is due: there is work, no commit is under way, and enough time or work has passed."""
        if self.is_under_way or not self.has_work:
            return False
        return self._writer.records >= self._options.transaction_events or self.due_in_s() == 0

    def _start(self) -> None:
        """Start the commit of the work since the last commit. `Transactions.commit` has the order of its steps.

        If the scorer crashes before the last step, nothing is visible, since readers pass over the open transaction. After
        it, all is visible.
        """
        if not self.has_work:
            return
        states = [s for p, s in self._partitions.states.items() if p in self._touched]
        written = [(s.partition, s.records_to_write()) for s in states]
        self._monitor.commit_started([record for _, records in written for record in records])
        state = [(key, value, p) for p, records in written for key, value in records]
        positions = {s.partition: s.position for s in states}
        group = self._consumer.consumer_group_metadata()
        self._touched.clear()
        self._started_at = time.monotonic()
        asked = self._topics.ask(self._names.events, time.monotonic())
        self._writer.start_commit(Progress(self._names.events, positions, self._names.state, state, group, asked))

    def _committed(self, done: CommitResult) -> None:
        self._aborts.clear()
        self._monitor.committed(done)

    def _save_more(self, states: list[PartitionState]) -> None:
        """Let partitions save more than their credit, in the open transaction or a new one."""
        for state in states:
            self.write([state.partition], lambda _: None, 1)
            state.credit_bytes += _PARTING_BYTES
