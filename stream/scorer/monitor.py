"""Monitors the loop: sends its reports to the log, to Prometheus and to the health checks."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from prometheus_client import CollectorRegistry

from aimaas.fleet import FleetSpec
from aimaas.logs import logger
from aimaas.settings import Settings
from aimaas.topics import topic_names
from stream.model.load import Model
from stream.monitoring.endpoint import Endpoint
from stream.monitoring.health import Health, Limits, Liveness
from stream.monitoring.lag import LagWatch
from stream.monitoring.metrics import ScorerMetrics
from stream.scorer.device_reports import DeviceReports
from stream.scorer.output.progress import CommitResult
from stream.scorer.partitions import Partitions
from stream.scorer.rates import RateLog, Steps, Totals
from stream.scorer.scoring import Judged
from stream.state.partition import PartitionState
from stream.state.records import StateRecord, is_snapshot
from stream.state.topic import Restored

log = logger("scorer")

START_LIMIT_S = 300.0
RESTORE_LIMIT_S = 600.0  # a restore may take this long before the scorer counts as stalled
_STATE_EVERY_S = 5.0


class Monitor:
    """Keeps the figures of one scorer. The loop's thread calls the methods; other threads answer scrapes and probes."""

    def __init__(self, settings: Settings, fleet: FleetSpec) -> None:
        self.registry = CollectorRegistry()
        self.steps = Steps()
        self._rates = RateLog(self.registry, self.steps)
        self._metrics = ScorerMetrics(fleet.fleet, self.registry)
        self._metrics.health_from(self.look)
        self.devices = DeviceReports(self._metrics)
        self._liveness = Liveness(Limits(), time.monotonic())
        self._lag = LagWatch(settings, topic_names(fleet).events)
        self._state_at = 0.0
        self._snapshots = 0  # in the commit under way

    def look(self) -> Health:
        """Return the scorer's present health; any thread may call it."""
        return self._liveness.look(time.monotonic())

    @property
    def totals(self) -> Totals:
        """Return the work so far."""
        return Totals.of(self.registry)

    @contextmanager
    def served_at(self, host: str, port: int | None) -> Iterator[None]:
        """Serve metrics and health during a `with` block; not if `port` is None. Raises EndpointError."""
        if port is None:
            yield
            return
        with Endpoint(host, port, self.registry, self.look):
            yield

    def waits(self) -> None:
        """Note that no model is there yet and that the scorer looks for one."""
        self._liveness.turned(time.monotonic())

    def starts(self) -> None:
        """Note that the loop is about to begin: it may wait for its transactional id, and it loads compiled code."""
        self._liveness.busy("starting", START_LIMIT_S, time.monotonic())

    def turned(self, consumer: Any, owned: Partitions, model_version: str) -> None:
        """Note that the loop has made a turn."""
        now, states = time.monotonic(), owned.states
        self._liveness.turned(now)
        places = self._lag.look(consumer, {p: s.position for p, s in states.items()}, now)
        if places is not None:
            self._liveness.seen(places, now)
            self._metrics.lag_seen(len(states), sum(place.lag for place in places.values()))
        if now - self._state_at >= _STATE_EVERY_S:
            self._state_at = now
            firing = Counter[str]()
            for table in owned.alerts.values():
                firing.update(table.firing)
            self._metrics.alerts_firing(firing)
            devices = [state.devices for state in states.values()]
            self._metrics.state_held(sum(map(len, devices)), sum(len(d.count) * d.bytes_per_device for d in devices))
        self._rates.report(now, model_version)

    def model_serves(self, model: Model, before: Model | None = None) -> None:
        """Note that this model answers from now on."""
        self._liveness.serves(model.version)
        self._metrics.model_changed(model.version, model.promoted_at.timestamp())
        if before is not None:
            log.info("model changed", version=model.version, before=before.version, sequence=model.sequence)

    def model_withdrawn(self, model: Model, why: str) -> None:
        """Note that the model was withdrawn and no other model serves yet."""
        self._liveness.serves(None)
        self._metrics.model_withdrawn()
        log.error(
            "model withdrawn: events wait for another version",
            version=model.version,
            sequence=model.sequence,
            reason=why,
        )

    def models_seen(self, refused: int, passed_over: int) -> None:
        """Set the counts since the start: refused models, and ignored records on the models topic."""
        self._metrics.models_seen(refused, passed_over)

    def judged(self, judged: Judged) -> None:
        """Note that a batch was judged and will be answered."""
        reasons = [part.batch.reason for part in judged.parts]
        broker_ms = [part.records.broker_ms for part in judged.parts]
        self._metrics.batch_scored(reasons, broker_ms, judged.model.version, judged.answered)
        for part in judged.parts:
            self.devices.strays(part.partition, part.batch.strays)

    def copy_unproven(self) -> None:
        """Note a record that claims to be a replay's copy without proof. Any thread may call it."""
        self._metrics.unproven.inc()

    def lap(self, step: str) -> None:
        """Add the time since the last lap to this step of the loop."""
        self.steps.lap(step, time.monotonic())

    def opened(self, at: float) -> None:
        """Note a transaction that is open since `at` (monotonic seconds)."""
        self._liveness.transaction_opened(at)

    def commit_started(self, state: Sequence[StateRecord]) -> None:
        """Note the start of a commit with these records for the state topic."""
        self._snapshots = sum(map(is_snapshot, state))
        self._metrics.commit_started()

    def committed(self, done: CommitResult) -> None:
        """Note the end of a commit."""
        self._metrics.committed(done.seconds, done.at, self._snapshots)
        self._liveness.transaction_ended()

    def aborted(self) -> None:
        """Note that the work since the last commit was rolled back."""
        self._metrics.aborted()
        self._liveness.transaction_ended()

    def restoring(self) -> None:
        """Note the start of a restore, which may take longer than a turn."""
        self._liveness.busy("restoring state", RESTORE_LIMIT_S, time.monotonic())

    def restored(self, restored: Restored) -> None:
        """Note that state was restored from the topics."""
        self._liveness.turned(time.monotonic())
        self._metrics.restored(restored.seconds, restored.state_bytes + restored.event_bytes, restored.events)

    def resumed(self, lost: int, unrestored: int, made_anew: int) -> None:
        """Report how partitions continue: lost events, answered events that the state lacks, partitions of a new topic."""
        self._metrics.resumed(lost, unrestored, made_anew)

    def owns(self, partitions: Mapping[int, PartitionState]) -> None:
        """Note all partitions that this scorer owns now."""
        self._liveness.owns(partitions, time.monotonic())
        if not partitions:
            self._metrics.lag_seen(0, 0)
