"""Compares all outputs with all events sent. Plain functions of plain data."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

EventKey = tuple[str, int, int]  # device, run, seq


@dataclass(frozen=True)
class Account:
    """Counts of the outputs for the events sent, with dead letters and expected dead letters by reason."""

    events_valid: int
    predictions: int
    missing: int
    duplicates: int
    unexpected: int
    dead_letters: Mapping[str, int]
    dead_letters_expected: Mapping[str, int]
    # records that only the stream or only the lake refused, by coordinates and reason
    quarantine_differs: int = 0

    @property
    def problems(self) -> list[str]:
        """Return a line for each difference; empty if there is none."""
        lines = [
            f"{count} {what}"
            for count, what in (
                (self.missing, "valid events without a prediction"),
                (self.duplicates, "duplicate predictions"),
                (self.unexpected, "predictions for events that were never sent"),
                (self.quarantine_differs, "records that only the stream or only the lake refused"),
            )
            if count
        ]
        for reason in sorted({*self.dead_letters, *self.dead_letters_expected}):
            found, expected = self.dead_letters.get(reason, 0), self.dead_letters_expected.get(reason, 0)
            if found != expected:
                lines.append(f"{found} dead letters with reason {reason}, expected {expected}")
        return lines


def reckon(
    valid: set[EventKey], predicted: Iterable[EventKey], dead_letters: Mapping[str, int], expected: Mapping[str, int]
) -> Account:
    """Compare the valid events sent with the predictions that a read-committed consumer saw."""
    times = Counter(predicted)
    return Account(
        events_valid=len(valid),
        predictions=sum(times.values()),
        missing=len(valid - times.keys()),
        duplicates=sum(n - 1 for n in times.values()),
        unexpected=len(times.keys() - valid),
        dead_letters=dict(sorted(dead_letters.items())),
        dead_letters_expected=dict(sorted(expected.items())),
    )


@dataclass(frozen=True)
class Errors:
    """Root mean squared error of predictions, and of predicting the mean, in the target's unit; PHM08 score."""

    rmse: float
    baseline_rmse: float
    phm_score: float | None


def errors(truth: Sequence[float], predicted: Sequence[float], *, remaining_life: bool) -> Errors:
    """Return the errors of predictions. The baseline predicts the true mean, which is the best constant.

    The PHM08 score (Saxena et al. 2008) sums exp(-d/13)-1 for early and exp(d/10)-1 for late predictions, with d = predicted minus
    true. It is computed for remaining life only.
    """
    t, p = np.asarray(truth, float), np.asarray(predicted, float)
    if not len(t):
        return Errors(math.nan, math.nan, None)
    d = p - t
    score = float(np.where(d < 0, np.exp(-d / 13) - 1, np.exp(d / 10) - 1).sum()) if remaining_life else None
    return Errors(float(np.sqrt((d**2).mean())), float(t.std()), score)


def percentiles(seconds: Sequence[float]) -> dict[str, float | None]:
    """Return p50 and p99 of latencies in milliseconds; None if none was measured."""
    if not seconds:
        return {"p50": None, "p99": None}
    p50, p99 = np.percentile(np.asarray(seconds) * 1e3, [50, 99])
    return {"p50": round(float(p50), 1), "p99": round(float(p99), 1)}
