"""The writer's thread: what happens to work that waits behind a commit that fails."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any, cast

import pytest

from stream.records.producing import Outgoing
from stream.scorer.output.progress import CommitResult, Progress, TransactionAbortedError
from stream.scorer.output.transaction import Transactions
from stream.scorer.output.writer import Writer

LIMIT_S = 10.0
NONE_READ = Progress("events", {}, "state", [], None)


class Memory:
    """Transactions in memory, which keep what was committed; a commit named in `failing` waits for `go`, then rolls back."""

    def __init__(self, *failing: int) -> None:
        self.committed: list[int] = []
        self.open: list[int] = []
        self.opened_at: float | None = None
        self.go = threading.Event()
        self._failing, self._commits = failing, 0

    def begin(self) -> None:
        self.opened_at = 1.0

    def produce(self, topic: str, partition: int, records: Iterable[Outgoing]) -> None:
        self.open.append(partition)

    def commit(self, progress: Progress) -> CommitResult:
        self._commits += 1
        if self._commits in self._failing:
            assert self.go.wait(LIMIT_S)
            self.abort()
            raise TransactionAbortedError("as asked")
        self.committed += self.open
        self.open, self.opened_at = [], None
        return CommitResult(0.0, 0.0)

    def abort(self) -> None:
        self.open, self.opened_at = [], None

    def check(self) -> None:
        pass


def put(batch: int) -> Any:
    """Work that produces one batch."""

    def work(transactions: Transactions) -> None:
        transactions.produce("predictions", batch, [])

    return work


def test_what_waits_behind_a_commit_that_fails_is_dropped_and_the_writer_goes_on() -> None:
    memory = Memory(2)
    done: list[CommitResult] = []
    writer = Writer(cast(Transactions, memory), done.append)
    writer.write(put(1), 1)
    writer.start_commit(NONE_READ)
    writer.drain()
    writer.write(put(2), 1)
    writer.start_commit(NONE_READ)
    writer.write(put(3), 1)  # the next batch, handed over while the commit is under way
    memory.go.set()

    with pytest.raises(TransactionAbortedError, match="as asked"):
        writer.drain()

    assert (memory.committed, memory.open, writer.records, writer.is_committing) == ([1], [], 0, False)
    for batch in (2, 3):
        writer.write(put(batch), 1)
    writer.start_commit(NONE_READ)
    writer.drain()
    assert memory.committed == [1, 2, 3]
    assert len(done) == 2


def test_an_abort_drops_what_waits_and_is_no_error_of_its_own() -> None:
    memory = Memory(1)
    writer = Writer(cast(Transactions, memory), lambda done: None)
    writer.write(put(1), 1)
    writer.start_commit(NONE_READ)
    writer.write(put(2), 1)
    memory.go.set()

    writer.abort()

    assert (memory.committed, memory.open, writer.records, writer.is_committing) == ([], [], 0, False)
