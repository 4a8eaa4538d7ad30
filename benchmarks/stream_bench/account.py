"""Compares outputs with expected outputs: every event once, with the expected answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import msgspec

from aimaas.kafka import Record
from stream_bench.events import Load

TOLERANCE = 1e-4  # between an output and the same model run separately; as float32 both are equal


@dataclass(frozen=True)
class Account:
    """Events without an output, outputs beyond the first of an event, and the largest error (None without predictions)."""

    outputs: int
    lost: int
    duplicated: int
    max_error: float | None

    @property
    def is_exact(self) -> bool:
        """Return whether every event has one output, and the right one."""
        return not self.lost and not self.duplicated and (self.max_error or 0.0) <= TOLERANCE


class Prediction(msgspec.Struct):
    """The compared part of a scorer's prediction."""

    device_id: str
    run: int
    seq: int
    prediction: float


class Answer(msgspec.Struct):
    """The compared part of the hand-written loop's answer."""

    seq: int
    prediction: float


def account_predictions(load: Load, records: Iterable[Record]) -> Account:
    """Compare the scorer's predictions with the load."""
    decode = msgspec.json.Decoder(Prediction).decode
    found = [decode(record.value or b"") for record in records]
    return _account(load, [(load.places[p.device_id, p.run, p.seq], p.prediction) for p in found])


def account_answers(load: Load, records: Iterable[Record]) -> Account:
    """Compare the hand-written loop's answers with the load."""
    decode = msgspec.json.Decoder(Answer).decode
    found = [decode(record.value or b"") for record in records]
    return _account(load, [(a.seq, a.prediction) for a in found])


def account_copies(load: Load, records: Iterable[Record]) -> Account:
    """Compare copied events with the load."""
    counts = Counter(record.value for record in records)
    lost = sum(value not in counts for _, value in load.events)
    return Account(counts.total(), lost, counts.total() - len(counts), None)


def _account(load: Load, answers: list[tuple[int, float]]) -> Account:
    counts = Counter(place for place, _ in answers)
    error = max((abs(answer - float(load.expected[place])) for place, answer in answers), default=None)
    return Account(len(answers), len(load) - len(counts), len(answers) - len(counts), error)


Accountant = Callable[[Load, Iterable[Record]], Account]
