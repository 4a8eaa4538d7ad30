"""The queue before the model: what waits together is scored together, within bounds."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from stream.service.batching import Batcher
from stream.service.instances import Features
from stream.service.problems import Problem

LIMIT_S = 10.0


def instance(number: float) -> Features:
    return Features(np.array([number], np.float32))


class Gate:
    """A stand-in for scoring that waits until it is opened, and notes its batches."""

    def __init__(self) -> None:
        self.opened, self.entered = threading.Event(), threading.Event()
        self.batches: list[tuple[Any, list[float]]] = []

    def score(self, model: Any, instances: Any) -> list[Any]:
        self.entered.set()
        assert self.opened.wait(LIMIT_S)
        numbers = [float(one.row[0]) for one in instances]
        self.batches.append((model, numbers))
        if -1.0 in numbers:
            raise ValueError("a defect")
        return [10 * x for x in numbers]


def run(queue: int, rows: int, test: Callable[[Batcher, Gate], Awaitable[None]]) -> Gate:
    gate = Gate()

    async def all_of_it() -> None:
        batcher = Batcher(gate.score, queue, rows, lambda _: None)
        batcher.start()
        try:
            await asyncio.wait_for(test(batcher, gate), LIMIT_S)
        finally:
            gate.opened.set()
            await batcher.stop()

    asyncio.run(all_of_it())
    return gate


async def ask_while_busy(batcher: Batcher, gate: Gate, asked: list[tuple[Any, list[float]]]) -> list[asyncio.Task[Any]]:
    """Ask once, and when the worker is at it, the rest."""
    tasks = []
    for model, numbers in asked:
        answers = batcher.answers(model, [instance(n) for n in numbers])
        tasks.append(asyncio.create_task(answers))
        await asyncio.to_thread(gate.entered.wait, LIMIT_S)
        await asyncio.sleep(0)
    return tasks


def test_what_waits_is_scored_together_and_each_caller_gets_its_own() -> None:
    async def test(batcher: Batcher, gate: Gate) -> None:
        tasks = await ask_while_busy(batcher, gate, [("m", [1]), ("m", [2, 3]), ("m", [4])])
        gate.opened.set()
        assert await asyncio.gather(*tasks) == [[10], [20, 30], [40]]

    assert run(10, 100, test).batches == [("m", [1.0]), ("m", [2.0, 3.0, 4.0])]


def test_a_batch_holds_no_more_rows_than_allowed_and_one_model_only() -> None:
    async def test(batcher: Batcher, gate: Gate) -> None:
        asked: list[tuple[Any, list[float]]] = [("m", [1]), ("m", [2, 3]), ("m", [4]), ("n", [5]), ("n", [6, 7, 8, 9])]
        tasks = await ask_while_busy(batcher, gate, asked)
        gate.opened.set()
        await asyncio.gather(*tasks)

    expected = [("m", [1.0]), ("m", [2.0, 3.0]), ("m", [4.0]), ("n", [5.0]), ("n", [6.0, 7.0, 8.0, 9.0])]
    assert run(10, 2, test).batches == expected


def test_a_full_queue_is_said_at_once_with_when_to_come_again() -> None:
    async def test(batcher: Batcher, gate: Gate) -> None:
        tasks = await ask_while_busy(batcher, gate, [("m", [1]), ("m", [2]), ("m", [3])])
        with pytest.raises(Problem) as caught:
            await batcher.answers("m", [instance(4)])  # type: ignore[arg-type]
        assert (caught.value.status, caught.value.headers) == (503, {"Retry-After": "1"})
        gate.opened.set()
        assert await asyncio.gather(*tasks) == [[10], [20], [30]]

    run(2, 100, test)


def test_a_defect_reaches_the_callers_of_its_batch_and_nobody_else() -> None:
    async def test(batcher: Batcher, gate: Gate) -> None:
        gate.opened.set()
        with pytest.raises(ValueError, match="a defect"):
            await batcher.answers("m", [instance(-1)])  # type: ignore[arg-type]
        assert await batcher.answers("m", [instance(1)]) == [10]  # type: ignore[arg-type]

    run(2, 100, test)


def test_a_batch_that_does_not_end_shows() -> None:
    async def test(batcher: Batcher, gate: Gate) -> None:
        assert batcher.busy_s == 0
        (task,) = await ask_while_busy(batcher, gate, [("m", [1])])
        assert batcher.busy_s > 0
        gate.opened.set()
        await task
        assert batcher.busy_s == 0

    run(2, 100, test)
