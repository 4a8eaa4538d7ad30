"""Micro-batches: the next run of the model answers all requests that waited for the last run.

No request waits for others: a request that finds the model idle is scored at once, and a busy model makes its own batches.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from stream.model.load import Model
from stream.service.instances import Asked
from stream.service.problems import Problem
from stream.service.scoring import Answer

Score = Callable[[Model, Sequence[Asked]], list[Answer]]
_RETRY_AFTER_S = 1


@dataclass(frozen=True, slots=True)
class _Job:
    model: Model
    instances: Sequence[Asked]
    rows: int
    answers: asyncio.Future[list[Answer]]


class Batcher:
    """A bounded queue before one worker thread. Lives in one event loop, from `start` to `stop`.

    `score` is called in the thread, for jobs of one model at a time; `on_batch` in the loop, with the instances of each batch.
    """

    def __init__(self, score: Score, queue: int, rows: int, on_batch: Callable[[int], None]) -> None:
        self._score, self._most_rows, self._on_batch = score, rows, on_batch
        self._queue: asyncio.Queue[_Job] = asyncio.Queue(queue)
        self._held: _Job | None = None  # taken from the queue for the next batch
        self._busy_since: float | None = None
        self._pool = ThreadPoolExecutor(1, "model")
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the worker."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="batcher")

    async def stop(self) -> None:
        """End after the batch that is being scored; jobs that still wait are cancelled."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        while self._held or not self._queue.empty():
            self._next().answers.cancel()
        self._pool.shutdown(wait=True)

    @property
    def busy_s(self) -> float:
        """Return for how many seconds the worker has been busy with its present batch; 0 when it is idle."""
        return time.monotonic() - self._busy_since if self._busy_since is not None else 0.0

    async def answers(self, model: Model, instances: Sequence[Asked]) -> list[Answer]:
        """Return the answers of `model`, by place. Raises Problem (503) at once while the queue is full."""
        job = _Job(model, instances, sum(one.rows for one in instances), asyncio.get_running_loop().create_future())
        try:
            self._queue.put_nowait(job)
        except asyncio.QueueFull:
            detail = (
                f"{self._queue.maxsize} requests are already waiting for the model: try again in {_RETRY_AFTER_S} s"
            )
            raise Problem(503, "overloaded", detail, headers={"Retry-After": str(_RETRY_AFTER_S)}) from None
        return await job.answers

    async def _run(self) -> None:
        while True:
            jobs = self._more([self._held or await self._queue.get()])
            await self._work(jobs)

    def _next(self) -> _Job:
        job, self._held = self._held or self._queue.get_nowait(), None
        return job

    def _more(self, jobs: list[_Job]) -> list[_Job]:
        """Return the first job and the jobs that wait behind it: of the same model, and up to the limit of one batch."""
        self._held = None
        rows = jobs[0].rows
        while not self._queue.empty():
            job = self._queue.get_nowait()
            if job.model is not jobs[0].model or rows + job.rows > self._most_rows:
                self._held = job
                break
            rows += job.rows
            jobs.append(job)
        return jobs

    async def _work(self, jobs: list[_Job]) -> None:
        instances = [one for job in jobs for one in job.instances]
        self._on_batch(len(instances))
        self._busy_since = time.monotonic()
        try:
            run = asyncio.get_running_loop().run_in_executor
            answers = await run(self._pool, self._score, jobs[0].model, instances)
        except Exception as e:  # noqa: BLE001 - raised where each job is awaited; the next batch may succeed
            for job in jobs:
                _settle(job, e)
            return
        except asyncio.CancelledError:
            for job in jobs:
                job.answers.cancel()
            raise
        finally:
            self._busy_since = None
        begin = 0
        for job in jobs:
            _settle(job, answers[begin : begin + len(job.instances)])
            begin += len(job.instances)


def _settle(job: _Job, result: list[Answer] | Exception) -> None:
    if job.answers.done():  # its caller has left
        return
    if isinstance(result, Exception):
        job.answers.set_exception(result)
    else:
        job.answers.set_result(result)
