"""What the scorer counts, and the line it logs of it every few seconds."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from aimaas.admission import Batch, Reason
from aimaas.logs import logger

REPORT_S = 10.0

log = logger("scorer")


@dataclass
class Tally:
    """Totals since the scorer started; counts of a rolled back transaction stay in, since its work was done."""

    events: int = 0
    predictions: int = 0
    batches: int = 0
    transactions: int = 0
    aborts: int = 0
    commit_s: float = 0.0
    snapshots: int = 0
    state_bytes: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    def add_batch(self, batch: Batch) -> None:
        """Count one judged batch."""
        self.events += len(batch.reason)
        counts = np.bincount(batch.reason, minlength=len(Reason))
        self.predictions += int(counts[Reason.ADMITTED])
        for reason in Reason:
            if reason != Reason.ADMITTED and counts[reason]:
                self.refused[reason.label] += int(counts[reason])


class RateLog:
    """Logs what was done since the last line, when there was anything, every `REPORT_S` seconds."""

    def __init__(self, tally: Tally) -> None:
        self._tally, self._at = tally, time.monotonic()
        self._events = self._predictions = self._batches = self._transactions = 0
        self._commit_s = 0.0

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
                refused=dict(t.refused), aborts=t.aborts, model_version=model_version,
            )  # fmt: skip
        self._at, self._events, self._predictions = now, t.events, t.predictions
        self._batches, self._transactions, self._commit_s = t.batches, t.transactions, t.commit_s
