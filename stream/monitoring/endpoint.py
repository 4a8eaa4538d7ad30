"""The HTTP endpoint of a scorer or of the HTTP service: `/metrics` for Prometheus, `/healthz` and `/readyz` for a supervisor.

Threads of its own serve it, so that a probe can tell a hanging loop from a healthy one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import msgspec
from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from aimaas.errors import EndpointError
from aimaas.logs import logger
from stream.monitoring.health import Health

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

log = logger("scorer.endpoint")

_CLOSE_S = 5.0
_HIGHEST_PORT = 65_535


class _Handler(WSGIRequestHandler):
    timeout = 10  # seconds for a silent client

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: probes and scrapes come every few seconds."""


class Endpoint:
    """Listens from its creation until `close`, or to the end of a `with` block.

    `look` is called for every request, in the request's thread. Raises EndpointError if the address is not available;
    `option` is the option that sets the port.
    """

    def __init__(
        self,
        host: str,
        port: int,
        registry: CollectorRegistry,
        look: Callable[[], Health],
        option: str = "--metrics-port",
    ) -> None:
        try:
            self._server = make_server(host, port, _app(registry, look), ThreadingWSGIServer, _Handler)
        except (OSError, OverflowError) as e:
            why = getattr(e, "strerror", None) or f"ports go from 0 to {_HIGHEST_PORT}"
            raise EndpointError(
                f"cannot serve metrics at {host}:{port} ({why}): give another {option}, or 0 for any free port"
            ) from None
        self.port: int = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="endpoint", daemon=True)
        self._thread.start()
        log.info("serving metrics and health", address=f"http://{host}:{self.port}")

    def close(self) -> None:
        """Free the port and return then. Requests in progress are not waited for."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(_CLOSE_S)

    def __enter__(self) -> Endpoint:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _app(registry: CollectorRegistry, look: Callable[[], Health]) -> Callable[..., Iterable[bytes]]:
    """Answer the served paths; any other path is not found."""
    metrics = make_wsgi_app(registry)

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "HEAD":  # like GET without the body
            b"".join(app({**environ, "REQUEST_METHOD": "GET"}, start_response))
            return []
        path = environ["PATH_INFO"]
        if path == "/metrics":
            answer: Iterable[bytes] = metrics(environ, start_response)
            return answer
        if path == "/healthz":
            health = look()
            return _report(start_response, health.is_live, health.stalled)
        if path == "/readyz":
            health = look()
            return _report(start_response, health.is_ready, (*health.stalled, *health.waiting))
        return _answer(start_response, HTTPStatus.NOT_FOUND, {"paths": ["/metrics", "/healthz", "/readyz"]})

    return app


def _report(start_response: StartResponse, good: bool, reasons: tuple[str, ...]) -> Iterable[bytes]:
    status = HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE
    return _answer(start_response, status, {"ok": good, "reasons": list(reasons)})


def _answer(start_response: StartResponse, status: HTTPStatus, body: dict[str, Any]) -> Iterable[bytes]:
    start_response(
        f"{status.value} {status.phrase}", [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
    )
    return [msgspec.json.encode(body)]
