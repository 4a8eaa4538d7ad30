"""The Prometheus metrics of the HTTP service. Labels are bounded: paths are the declared routes, never the requested paths."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from stream.service.access.connections import CLOSED

_SECONDS = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.0, 2.5, 10.0)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024)


class ServiceMetrics:
    """The metrics of one service, in a registry of its own."""

    def __init__(self, fleet: str) -> None:
        self._fleet, self.registry = fleet, CollectorRegistry()
        self._requests = Counter(
            "aimaas_http_requests", "Requests answered.", ["fleet", "path", "code"], registry=self.registry
        )
        self._seconds = Histogram(
            "aimaas_http_request_seconds",
            "Time from the first byte of a request to the last byte of its response.",
            ["fleet", "path"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._rows = Histogram(
            "aimaas_http_batch_rows",
            "Instances per run of the model.",
            ["fleet"],
            buckets=_ROWS,
            registry=self.registry,
        ).labels(fleet)
        self._hits = Counter(
            "aimaas_http_cache_hits", "Instances answered from the cache.", ["fleet"], registry=self.registry
        ).labels(fleet)
        self._misses = Counter(
            "aimaas_http_cache_misses", "Instances that were not in the cache.", ["fleet"], registry=self.registry
        ).labels(fleet)
        self._closed = Counter(
            "aimaas_http_connections_closed", "Connections that the service closed, by reason.", ["fleet", "reason"],
            registry=self.registry,
        )  # fmt: skip
        for reason in CLOSED:  # a rate needs the zero before the first one
            self._closed.labels(fleet, reason)
        self._model = Gauge(
            "aimaas_http_model_info", "1 for the serving model.", ["fleet", "model_version"], registry=self.registry
        )
        self._promoted_at: float | None = None  # seconds since 1970
        self._gauge_age()
        self._refused = Counter(
            "aimaas_models_refused", "Announced models that cannot be served.", ["fleet"], registry=self.registry
        ).labels(fleet)
        self._withdrawn = Counter(
            "aimaas_models_withdrawn",
            "Serving models that were withdrawn after too many NaN or infinite predictions.",
            ["fleet"],
            registry=self.registry,
        ).labels(fleet)
        self._passed_over = Counter(
            "aimaas_announcements_passed_over", "Records on the models topic that cannot be trusted.", ["fleet"],
            registry=self.registry,
        ).labels(fleet)  # fmt: skip
        self._refused_known = self._passed_over_known = 0
        self._by_path: dict[tuple[str, int], tuple[Counter, Histogram]] = {}

    def request(self, path: str, code: int, seconds: float) -> None:
        """Count an answered request."""
        known = self._by_path.get((path, code))
        if known is None:
            known = (
                self._requests.labels(self._fleet, path, str(code)),
                self._seconds.labels(self._fleet, path),
            )
            self._by_path[path, code] = known
        known[0].inc()
        known[1].observe(seconds)

    def closed(self, reason: str) -> None:
        """Count a connection that the service closed."""
        self._closed.labels(self._fleet, reason).inc()

    def batch(self, rows: int) -> None:
        """Count a run of the model over `rows` instances."""
        self._rows.observe(rows)

    def cache(self, hits: int, misses: int) -> None:
        """Count instances found and not found in the cache."""
        self._hits.inc(hits)
        self._misses.inc(misses)

    def _gauge_age(self) -> None:
        age = Gauge(
            "aimaas_model_age_seconds", "Seconds since the promotion of the serving model; NaN without one.", ["fleet"],
            registry=self.registry,
        )  # fmt: skip
        age.labels(self._fleet).set_function(
            lambda: float("nan") if self._promoted_at is None else time.time() - self._promoted_at
        )

    def models_seen(self, refused: int, passed_over: int) -> None:
        """Set the counts since the start: refused models, and ignored records on the models topic."""
        self._refused.inc(refused - self._refused_known)
        self._passed_over.inc(passed_over - self._passed_over_known)
        self._refused_known, self._passed_over_known = refused, passed_over

    def model(self, version: str, promoted_at: float) -> None:
        """Set the model that serves from now on, and its promotion (seconds since 1970)."""
        self._promoted_at = promoted_at
        self._model.clear()
        self._model.labels(self._fleet, version).set(1)

    def model_withdrawn(self) -> None:
        """Note that the model was withdrawn and no model serves."""
        self._promoted_at = None
        self._model.clear()
        self._withdrawn.inc()

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)
