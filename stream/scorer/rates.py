"""The scorer's work so far, as its metrics count it, and a line about it in the log every few seconds."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry

from aimaas.logs import logger

REPORT_S = 10.0

log = logger("scorer")


@dataclass
class Totals:
    """Work since the scorer started. Only `aborts` counts transactions that were rolled back."""

    events: int = 0
    predictions: int = 0
    transactions: int = 0
    aborts: int = 0
    commit_s: float = 0.0
    refused: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, registry: CollectorRegistry) -> Totals:
        """Read the totals from a scorer's metrics."""
        found, refused = Counter[str](), dict[str, int]()
        for sample in (sample for family in registry.collect() for sample in family.samples):
            found[sample.name] += sample.value  # type: ignore[assignment]  # floats count too
            if sample.name == "aimaas_dead_letters_total" and sample.value:
                refused[sample.labels["reason"]] = int(sample.value)
        return cls(
            int(found["aimaas_events_total"]), int(found["aimaas_predictions_total"]), int(found["aimaas_transactions_total"]),
            int(found["aimaas_aborts_total"]), found["aimaas_transaction_seconds_sum"], refused,
        )  # fmt: skip


class Steps:
    """Seconds since the start by step of the loop; waiting for events is `gather`."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._at = time.monotonic()

    def lap(self, step: str, now: float) -> None:
        """Add the time since the last lap (monotonic seconds) to this step."""
        self.seconds[step] = self.seconds.get(step, 0.0) + now - self._at
        self._at = now


class RateLog:
    """Logs the work since the last line, if there was any, every `REPORT_S` seconds."""

    def __init__(self, registry: CollectorRegistry, steps: Steps) -> None:
        self._registry, self._steps, self._at = registry, steps, time.monotonic()
        self._before, self._step_s = Totals(), dict[str, float]()

    def report(self, now: float, model_version: str) -> None:
        """Log the rates if it is time; `now` is in monotonic seconds."""
        seconds, before = now - self._at, self._before
        if seconds < REPORT_S:
            return
        done, steps = Totals.of(self._registry), dict(self._steps.seconds)
        events, predictions = done.events - before.events, done.predictions - before.predictions
        commit_s, transactions = done.commit_s - before.commit_s, done.transactions - before.transactions
        if events:
            log.info(
                "rates", events_s=round(events / seconds, 1), predictions_s=round(predictions / seconds, 1),
                commit_ms=round(commit_s / max(transactions, 1) * 1e3, 1),
                us_per_event={s: round((took - self._step_s.get(s, 0.0)) / events * 1e6, 2) for s, took in steps.items()},
                refused=done.refused, aborts=done.aborts, model_version=model_version,
            )  # fmt: skip
        self._at, self._before, self._step_s = now, done, steps
