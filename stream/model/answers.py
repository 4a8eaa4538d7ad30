"""The share of recent answers of a model that are not finite. Above the declared share its version must not serve."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Hashable
from dataclasses import dataclass
from typing import NamedTuple

WINDOW = 10_000  # newest answers that count
AT_LEAST = 20  # answers without a finite number; below this number a share means nothing
ALONE = 100  # the same limit if all of them are from one device


@dataclass
class Answered:
    """A model's answers to a batch. The writer's thread sets it; the loop's thread reads it once the batch is committed."""

    without: int = 0  # admitted events whose answer is not finite


class _Batch(NamedTuple):
    answers: int
    without: int
    devices: frozenset[Hashable]  # devices without an answer


class AnswerWatch:
    """Counts the newest answers of the model that serves. One thread counts; any thread may call `complaint`.

    One device never withdraws a model that answers others: its data harm only its own predictions.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._sequence = -1
        self._batches: deque[_Batch] = deque()
        self._answers = self._without = 0
        self._complaint: tuple[int, str] | None = None

    def count(self, sequence: int, answers: int, without: Collection[Hashable] = ()) -> None:
        """Count a batch of the model announced with `sequence`; `without` has the device of each answer that is not finite."""
        if sequence != self._sequence:
            self._sequence = sequence
            self._batches.clear()
            self._answers = self._without = 0
        self._batches.append(_Batch(answers, len(without), frozenset(without)))
        self._answers += answers
        self._without += len(without)
        while self._answers - self._batches[0].answers >= WINDOW:
            gone = self._batches.popleft()
            self._answers -= gone.answers
            self._without -= gone.without
        if without and self._is_too_much():
            self._complaint = (
                sequence,
                (
                    f"{self._without} of its last {self._answers} answers were NaN or infinite, more than {self._limit:.2%} "
                    "(gates.unanswered_share)"
                ),
            )

    def complaint(self, sequence: int) -> str | None:
        """Return the reason why the model announced with `sequence` must not serve; None if it may."""
        found = self._complaint
        return found[1] if found is not None and found[0] == sequence else None

    def _is_too_much(self) -> bool:
        if self._without < AT_LEAST or self._without <= self._limit * self._answers:
            return False
        devices = frozenset[Hashable]().union(*(batch.devices for batch in self._batches))
        return len(devices) > 1 or (self._without == self._answers and self._without >= ALONE)
