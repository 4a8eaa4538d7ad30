"""Prometheus metrics with the label `fleet`, and those about the serving model, which scorer and HTTP service share."""

from __future__ import annotations

import time
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge

from stream.monitoring.histogram import ArrayHistogram


class FleetMetrics:
    """The metrics of one fleet in one registry. `model_info` is the name of the gauge that names the serving model."""

    def __init__(self, fleet: str, registry: CollectorRegistry, model_info: str) -> None:
        self._fleet, self.registry = fleet, registry
        self._promoted_at: float | None = None  # seconds since 1970
        self._model_info = Gauge(model_info, "1 for the serving model.", ["fleet", "model_version"], registry=registry)
        self._gauge(
            "aimaas_model_age_seconds", "Seconds since the promotion of the serving model; NaN without one."
        ).set_function(self._age)
        self._refused = self._counter("aimaas_models_refused_total", "Announced models that cannot be served.")
        self._passed_over = self._counter(
            "aimaas_announcements_passed_over_total", "Records on the models topic that cannot be trusted."
        )
        self._withdrawn = self._counter(
            "aimaas_models_withdrawn_total",
            "Serving models that were withdrawn after too many NaN or infinite predictions.",
        )
        self._seen = 0, 0

    def _counter(self, name: str, what: str) -> Counter:
        return Counter(name, what, ["fleet"], registry=self.registry).labels(self._fleet)

    def _gauge(self, name: str, what: str) -> Gauge:
        return Gauge(name, what, ["fleet"], registry=self.registry).labels(self._fleet)

    def _histogram(self, name: str, what: str, bounds: Sequence[float]) -> ArrayHistogram:
        return ArrayHistogram(name, what, ["fleet"], buckets=bounds, registry=self.registry).labels(self._fleet)

    def _age(self) -> float:
        return float("nan") if self._promoted_at is None else time.time() - self._promoted_at

    def model_changed(self, version: str, promoted_at: float) -> None:
        """Set the version that answers from now on, and its promotion (seconds since 1970)."""
        self._promoted_at = promoted_at
        self._model_info.clear()
        self._model_info.labels(self._fleet, version).set(1)

    def model_withdrawn(self) -> None:
        """Note that the model was withdrawn and no model serves."""
        self._promoted_at = None
        self._model_info.clear()
        self._withdrawn.inc()

    def models_seen(self, refused: int, passed_over: int) -> None:
        """Set the counts since the start: refused models, and ignored records on the models topic."""
        self._refused.inc(refused - self._seen[0])
        self._passed_over.inc(passed_over - self._seen[1])
        self._seen = refused, passed_over
