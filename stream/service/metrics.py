"""The Prometheus metrics of the HTTP service. Labels are bounded: paths are the declared routes, never the requested paths."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

from stream.monitoring.fleet_metrics import FleetMetrics
from stream.service.access.connections import CLOSED

_SECONDS = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.0, 2.5, 10.0)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024)


class ServiceMetrics(FleetMetrics):
    """The metrics of one service, in a registry of its own.

    `rows` takes the instances of each run of the model, `hits` and `misses` instances found and not found in the cache.
    """

    def __init__(self, fleet: str) -> None:
        super().__init__(fleet, CollectorRegistry(), "aimaas_http_model_info")
        self._requests = Counter(
            "aimaas_http_requests", "Requests answered.", ["fleet", "path", "code"], registry=self.registry
        )
        what = "Time from the first byte of a request to the last byte of its response."
        self._seconds = Histogram(
            "aimaas_http_request_seconds", what, ["fleet", "path"], buckets=_SECONDS, registry=self.registry
        )
        self.rows = self._histogram("aimaas_http_batch_rows", "Instances per run of the model.", _ROWS)
        self.hits = self._counter("aimaas_http_cache_hits", "Instances answered from the cache.")
        self.misses = self._counter("aimaas_http_cache_misses", "Instances that were not in the cache.")
        what = "Connections that the service closed, by reason."
        self._closed = Counter("aimaas_http_connections_closed", what, ["fleet", "reason"], registry=self.registry)
        for reason in CLOSED:  # a rate needs the zero before the first one
            self._closed.labels(fleet, reason)

    def request(self, path: str, code: int, seconds: float) -> None:
        """Count an answered request."""
        self._requests.labels(self._fleet, path, str(code)).inc()
        self._seconds.labels(self._fleet, path).observe(seconds)

    def closed(self, reason: str) -> None:
        """Count a connection that the service closed."""
        self._closed.labels(self._fleet, reason).inc()
