"""Counts the scorer's work, and logs a line about it every few seconds."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from aimaas.admission.judge import Reason
from aimaas.logs import logger

REPORT_S = 10.0

log = logger("scorer")


@dataclass
class Tally:
    """Totals since the scorer started. Counts of a rolled-back transaction stay in, because its work was done."""

    events: int = 0
    predictions: int = 0
    batches: int = 0
    transactions: int = 0
    aborts: int = 0
    commit_s: float = 0.0
    state_records: int = 0
    state_bytes: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    step_s: dict[str, float] = field(
        default_factory=dict
    )  # seconds by step of the loop; waiting for events is `gather`
    _lap_at: float = field(default_factory=time.monotonic)

    def add_batch(self, reasons: npt.NDArray[np.int64]) -> None:
        """Count one judged batch; records by reason, indexed by `Reason`."""
        self.batches += 1
        self.events += int(reasons.sum())
        self.predictions += int(reasons[Reason.ADMITTED])
        for reason in np.flatnonzero(reasons).tolist():
            if reason != Reason.ADMITTED:
                self.refused[Reason(reason).label] += int(reasons[reason])

    def unanswered(self, events: int) -> None:
        """Count events that were counted as predicted but have no finite answer."""
        if events:
            self.predictions -= events
            self.refused[Reason.NO_PREDICTION.label] += events

    def lap(self, step: str, now: float) -> None:
        """Add the time since the last lap (monotonic seconds) to this step."""
        self.step_s[step] = self.step_s.get(step, 0.0) + now - self._lap_at
        self._lap_at = now


class RateLog:
    """Logs the work since the last line, if there was any, every `REPORT_S` seconds."""

    def __init__(self, tally: Tally) -> None:
        self._tally, self._at = tally, time.monotonic()
        self._events = self._predictions = self._batches = self._transactions = 0
        self._commit_s = 0.0
        self._step_s: dict[str, float] = {}

    def report(self, now: float, model_version: str) -> None:
        """Log the rates if it is time; `now` is in monotonic seconds."""
        seconds, t = now - self._at, self._tally
        if seconds < REPORT_S:
            return
        events, transactions = t.events - self._events, t.transactions - self._transactions
        if events:
            log.info(
                "rates", events_s=round(events / seconds, 1), predictions_s=round((t.predictions - self._predictions) / seconds, 1),
                batch=round(events / max(t.batches - self._batches, 1), 1),
                commit_ms=round((t.commit_s - self._commit_s) / max(transactions, 1) * 1e3, 1),
                us_per_event={step: round(took / events * 1e6, 2) for step, took in self._steps().items()},
                refused=dict(t.refused), aborts=t.aborts, model_version=model_version,
            )  # fmt: skip
        self._at, self._events, self._predictions = now, t.events, t.predictions
        self._batches, self._transactions, self._commit_s = t.batches, t.transactions, t.commit_s
        self._step_s = dict(t.step_s)

    def _steps(self) -> dict[str, float]:
        """Return seconds by step since the last line."""
        return {step: took - self._step_s.get(step, 0.0) for step, took in self._tally.step_s.items()}
