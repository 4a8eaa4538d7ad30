"""The metrics of a scorer for Prometheus: counts of committed work, times, lag and health.

Every metric has the label `fleet`. The only other labels are `model_version`, `reason` and `rule`, never a device or a
partition.
Counts go up when a transaction is committed, so that they agree with the topics. A call costs microseconds for a batch or a
transaction, and some 20 ns for an event's latency.
"""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from prometheus_client import CollectorRegistry, Counter, Gauge

from aimaas.admission.judge import Reason, Reasons
from aimaas.records.refusal_reasons import REASONS
from stream.model.answers import Answered
from stream.monitoring.fleet_metrics import FleetMetrics
from stream.monitoring.health import Health

LATENCY_BOUNDS_S = (0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
BATCH_BOUNDS = (1, 3, 10, 30, 100, 300, 1_000, 2_000, 5_000, 10_000)
COMMIT_BOUNDS_S = (0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 5.0, 10.0, 30.0, 60.0)


@dataclass
class _Work:
    """The content of one transaction; arrays of broker times in ms, of admitted events."""

    events: int = 0
    predictions: Counts[str] = field(default_factory=Counts)  # by model version
    reasons: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(REASONS, np.int64))
    broker_ms: list[npt.NDArray[np.int64]] = field(default_factory=list)
    answered: list[tuple[str, Answered]] = field(default_factory=list)  # model version, and its answers to a batch


class ScorerMetrics(FleetMetrics):
    """The metrics of one scorer. The loop's thread calls the methods; any thread may count `unproven` copies."""

    def __init__(self, fleet: str, registry: CollectorRegistry) -> None:
        super().__init__(fleet, registry, "aimaas_model_info")
        self._gathering, self._committing = _Work(), _Work()
        self._make_flow()
        self._make_offsets()
        self._make_transactions()
        self._make_state()
        self._live = self._gauge("aimaas_live", "1 unless the scorer is stalled; the same as /healthz.")
        self._ready = self._gauge("aimaas_ready", "1 if events are being scored; the same as /readyz.")

    def _make_flow(self) -> None:
        by_model, by_reason = ["fleet", "model_version"], ["fleet", "reason"]
        self._events = self._counter("aimaas_events_total", "Judged events in committed transactions.")
        self._predictions = Counter(
            "aimaas_predictions_total", "Committed predictions, by model version.", by_model, registry=self.registry
        )
        self._dead_letters = Counter(
            "aimaas_dead_letters_total", "Committed dead letters, by reason.", by_reason, registry=self.registry
        )
        for reason in Reason:  # a rate needs the zero before the first one
            if reason != Reason.ADMITTED:
                self._dead_letters.labels(self._fleet, reason.label)
        self.unproven = self._counter(
            "aimaas_unproven_copies_total",
            "Records that claim to be copies of a replay without proof; scored as new events.",
        )
        self.floods = self._counter(
            "aimaas_flooded_batches_total",
            "Batches with refused records while few devices had more refused than the limit allows.",
        )
        self.strays = self._counter(
            "aimaas_stray_devices_total",
            "New devices outside the partition that murmur2 chooses for their key (partitioner: any).",
        )
        self._batch = self._histogram("aimaas_batch_events", "Events per batch.", BATCH_BOUNDS)
        self._lag = self._gauge("aimaas_lag_events", "Committed events in the owned partitions that are not read yet.")
        self._partitions = self._gauge("aimaas_partitions", "Partitions owned.")

    def _make_offsets(self) -> None:
        self._lost = self._counter(
            "aimaas_lost_events_total",
            "Skipped offsets: retention deleted them unread, or somebody set the group's offset forward.",
        )
        self._unrestored = self._counter(
            "aimaas_state_lost_events_total",
            "Answered events that retention deleted before their devices' state was saved.",
        )
        self._made_anew = self._counter(
            "aimaas_partitions_made_anew_total", "Partitions of an events topic that was deleted and created again."
        )

    def _make_transactions(self) -> None:
        self._transactions = self._counter("aimaas_transactions_total", "Transactions committed.")
        self._aborts = self._counter("aimaas_aborts_total", "Aborted transactions; their events are scored again.")
        self._transaction_s = self._histogram("aimaas_transaction_seconds", "Duration of a commit.", COMMIT_BOUNDS_S)
        what = "Time from the broker's timestamp of an event to the commit of its prediction."
        self._latency = self._histogram("aimaas_latency_seconds", what, LATENCY_BOUNDS_S)

    def _make_state(self) -> None:
        self._restore_s = self._gauge("aimaas_restore_seconds", "Duration of the last restore of state.")
        self._restore_bytes = self._gauge(
            "aimaas_restore_bytes", "Bytes of snapshots and events that the last restore read."
        )
        self._restored_events = self._gauge("aimaas_restored_events", "Events that the last restore read again.")
        self._devices = self._gauge("aimaas_devices", "Devices with state in memory.")
        self._state_bytes = self._gauge("aimaas_state_bytes", "Bytes of device state in memory.")
        self._firing = Gauge(
            "aimaas_alerts_firing", "Alerts that fire, by rule.", ["fleet", "rule"], registry=self.registry
        )
        self._snapshots = self._counter("aimaas_snapshots_total", "Device snapshots committed to the state topic.")

    def alerts_firing(self, by_rule: Mapping[str, int]) -> None:
        """Set the number of alerts that fire on the devices of the owned partitions."""
        for rule, alerts in by_rule.items():
            self._firing.labels(self._fleet, rule).set(alerts)

    def health_from(self, look: Callable[[], Health]) -> None:
        """Ask `look` for the scorer's health at every scrape, in the scraping thread."""
        self._live.set_function(lambda: float(look().is_live))
        self._ready.set_function(lambda: float(look().is_ready))

    def batch_scored(
        self,
        reasons: Sequence[Reasons],
        broker_ms: Sequence[npt.NDArray[np.int64]],
        model_version: str,
        answered: Answered | None = None,
    ) -> None:
        """Count a judged batch: reasons and broker times of its records, both (n,), of each partition in it (at least one).

        `answered` holds the model's answers to the batch by the time of its commit.
        """
        reason, at_ms, work = np.concatenate(reasons), np.concatenate(broker_ms), self._gathering
        counts = np.bincount(reason, minlength=REASONS)
        work.events += len(reason)
        work.reasons += counts
        work.predictions[model_version] += int(counts[Reason.ADMITTED])
        work.broker_ms.append(at_ms[reason == Reason.ADMITTED])
        if answered is not None:
            work.answered.append((model_version, answered))
        self._batch.observe(len(reason))

    def commit_started(self) -> None:
        """Note that the transaction whose commit begins holds the work until now."""
        self._committing, self._gathering = self._gathering, _Work()

    def committed(self, seconds: float, at: float, snapshots: int) -> None:
        """Count the work of the started commit, which ended `at` (seconds since 1970), with this many snapshots of devices."""
        work, self._committing = self._committing, _Work()
        for version, answered in work.answered:
            work.predictions[version] -= answered.without
            work.reasons[Reason.NO_PREDICTION] += answered.without
        self._events.inc(work.events)
        for version, predictions in work.predictions.items():
            self._predictions.labels(self._fleet, version).inc(predictions)
        for i in np.flatnonzero(work.reasons).tolist():
            if i != Reason.ADMITTED:
                self._dead_letters.labels(self._fleet, Reason(i).label).inc(int(work.reasons[i]))
        if work.broker_ms:
            self._latency.observe_all(np.maximum(at - np.concatenate(work.broker_ms) / 1e3, 0.0))
        self._transactions.inc()
        self._transaction_s.observe(seconds)
        self._snapshots.inc(snapshots)

    def aborted(self) -> None:
        """Drop the work since the last commit: it is rolled back and scored again."""
        self._gathering, self._committing = _Work(), _Work()
        self._aborts.inc()

    def model_changed(self, version: str, promoted_at: float) -> None:
        """Set the version that answers from now on, and its promotion (seconds since 1970)."""
        super().model_changed(version, promoted_at)
        self._predictions.labels(self._fleet, version)  # a rate needs the zero before the first one

    def restored(self, seconds: float, read_bytes: int, events: int) -> None:
        """Count a restore from the topics: bytes of snapshots and events read, and events put into state again."""
        self._restore_s.set(seconds)
        self._restore_bytes.set(read_bytes)
        self._restored_events.set(events)

    def resumed(self, lost: int, unrestored: int, made_anew: int) -> None:
        """Count offsets that no scorer reads, offsets that the state lacks, and partitions that begin at a new topic's start."""
        self._lost.inc(lost)
        self._unrestored.inc(unrestored)
        self._made_anew.inc(made_anew)

    def state_held(self, devices: int, state_bytes: int) -> None:
        """Set the number of devices in memory, and their bytes."""
        self._devices.set(devices)
        self._state_bytes.set(state_bytes)

    def lag_seen(self, partitions: int, events: int) -> None:
        """Set the number of owned partitions, and of the events that wait in all of them."""
        self._partitions.set(partitions)
        self._lag.set(events)
