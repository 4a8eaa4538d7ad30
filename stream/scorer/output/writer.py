"""The scorer's second thread: runs the model and writes the judged batches, in their order.

Meanwhile the loop reads, judges and advances devices. The model runs without Python's lock, and a commit blocks only this
thread. The loop may be a few batches ahead; then it waits.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from stream.scorer.output.progress import CommitResult, Progress, TransactionAbortedError
from stream.scorer.output.transaction import Transactions

_AHEAD = 3  # batches and commits that may wait: a commit of 30 ms takes as long as two batches
_CHECK_S = 1.0

Work = Callable[[Transactions], None]
_Call = Callable[[], CommitResult | None]


class _Task(NamedTuple):
    call: _Call
    future: Future[CommitResult | None]


class Writer:
    """Runs tasks in transactions, one after another. After a failed task the others are dropped.

    Only the loop calls the methods. They call `committed` with the result of a commit, and raise a task's error once:
    TransactionAbortedError after the work since the last commit was rolled back, KafkaError for an error that they cannot
    handle.
    """

    def __init__(self, transactions: Transactions, committed: Callable[[CommitResult], None]) -> None:
        self._transactions, self._committed = transactions, committed
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._under_way: deque[Future[CommitResult | None]] = deque()
        self.is_committing = False  # a commit was started, and its result not collected; at most one
        self._drops = False  # since a task failed, or while work is to be forgotten
        self.records = 0  # records passed on since the last commit started
        # a daemon: a call that hangs in the client lets the process end
        threading.Thread(target=self._work, name="writer", daemon=True).start()

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            if self._drops:
                task.future.cancel()
                task.future.set_running_or_notify_cancel()
                continue
            try:
                task.future.set_result(task.call())
            except BaseException as e:  # noqa: BLE001 - handed to the loop
                self._drops = True
                task.future.set_exception(e)

    @property
    def opened_at(self) -> float | None:
        """Monotonic seconds at the begin of the open transaction; None if none is open."""
        return self._transactions.opened_at

    def write(self, work: Work, records: int) -> None:
        """Open a transaction, unless one is open, and run `work` in it; blocks while too many tasks wait."""
        self._collect(_AHEAD)
        self.records += records
        self._put(partial(self._write, work))

    def _write(self, work: Work) -> None:
        self._transactions.begin()
        work(self._transactions)

    def start_commit(self, progress: Progress) -> None:
        """Commit all earlier tasks together with `progress`."""
        self.records = 0
        self.is_committing = True
        self._put(partial(self._transactions.commit, progress))

    def look(self) -> None:
        """Handle the tasks that have ended."""
        self._collect(len(self._under_way))

    def drain(self) -> None:
        """Wait until all tasks have ended."""
        self._collect(0)

    def abort(self) -> None:
        """Forget uncommitted work; the running task ends first."""
        self._drops = True
        with suppress(TransactionAbortedError):
            self._collect(0)
        self._reset()
        self._transactions.abort()

    def close(self) -> None:
        """End the thread after its tasks: while it lives it keeps the scorer and all of its clients in memory."""
        self._tasks.put(None)

    def _put(self, call: _Call) -> None:
        future: Future[CommitResult | None] = Future()
        self._under_way.append(future)
        self._tasks.put(_Task(call, future))

    def _collect(self, ahead: int) -> None:
        """Collect ended tasks, and wait until at most `ahead` tasks are left."""
        while self._under_way and (len(self._under_way) > ahead or self._under_way[0].done()):
            future = self._under_way.popleft()
            self._wait_for(future)
            try:
                self._take(future)
            except BaseException:
                self._drops = True
                for other in self._under_way:  # these tasks are dropped
                    self._wait_for(other)
                self._reset()
                raise

    def _take(self, future: Future[CommitResult | None]) -> None:
        done = None if future.cancelled() else future.result()
        if done is not None:
            self.is_committing = False
            self._committed(done)

    def _wait_for(self, future: Future[CommitResult | None]) -> None:
        while not wait([future], _CHECK_S).done:
            self._transactions.check()

    def _reset(self) -> None:
        self._under_way.clear()
        self.is_committing, self.records, self._drops = False, 0, False
