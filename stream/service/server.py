"""The HTTP service as a process: listens, follows the champion, and answers until it is asked to stop."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp

from aimaas.errors import ServiceError
from aimaas.fleet import FleetSpec
from aimaas.kafka import end_offsets
from aimaas.kafka.outage import outage_of
from aimaas.kafka.topic_settings import check_settings
from aimaas.logs import logger
from aimaas.settings import Settings
from aimaas.topics import topic_names
from stream.model.watch import ModelWatcher
from stream.monitoring.endpoint import Endpoint
from stream.service.access.connections import Closed, bounded
from stream.service.access.middleware import AccessMiddleware
from stream.service.app import build_app
from stream.service.metrics import ServiceMetrics
from stream.service.options import ServiceOptions, Tls
from stream.service.predictor import Predictor

_BACKLOG = 2_048
_OTHER_FILES = 256  # open files of the service itself: libraries, Kafka, logs
_STOP_S = 10  # time for requests in progress at the end

log = logger("service")


def serve(settings: Settings, fleet: FleetSpec, host: str, port: int, options: ServiceOptions | None = None) -> None:
    """Serve until SIGTERM or SIGINT. Port 0 takes any free port, and the log names it.

    Raises ServiceError if it cannot listen, KafkaError if the models topic is missing or must not be read. It waits for a
    cluster that is out of reach: the service answers that it has no model yet.
    """
    options = options or ServiceOptions()
    check_tls(options.tls)
    allow_connections(options.connections)
    with listen(host, port) as listener:
        if outage_of(settings).wait(
            lambda _: True, f"serve fleet {fleet.fleet}"
        ):  # otherwise the watcher waits for the cluster
            models = topic_names(fleet).models
            end_offsets(settings, models)  # a missing topic is reported at once
            check_settings(settings, fleet, [models])
        service = Service(settings, fleet, options)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(
                number, lambda *_: None
            )  # uvicorn has its own handlers, and sends the signal again when it has stopped
        where = listener.getsockname()
        with service.seen_at(options.health_host, options.health_port):
            log.info(
                "service listens", fleet=fleet.fleet, host=where[0], port=where[1], api_key=bool(settings.api_key),
                tls=options.tls is not None,
            )  # fmt: skip
            service.run(listener)
    log.info("service stopped", fleet=fleet.fleet)


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises ServiceError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except (OSError, OverflowError) as e:
        why = os.strerror(e.errno) if isinstance(e, OSError) and e.errno and e.errno > 0 else str(e)
        raise ServiceError(
            f"cannot listen on {host} port {port}: {why}; stop the process that listens there, or give another --host or --port"
        ) from None


def server_config(app: ASGIApp, options: ServiceOptions, closed: Closed = lambda _: None) -> uvicorn.Config:
    """Return uvicorn's settings, with bounded connections; `closed` is called with the reason for closing a connection."""
    files: dict[str, Any] = {}
    if options.tls is not None:
        files = {"ssl_certfile": options.tls.certificate, "ssl_keyfile": options.tls.key}
        if options.tls.client_ca is not None:
            files |= {"ssl_ca_certs": str(options.tls.client_ca), "ssl_cert_reqs": ssl.CERT_REQUIRED}
    return uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False, lifespan="on", ws="none",
        http=bounded(options, closed), limit_concurrency=options.connections + 1, timeout_graceful_shutdown=_STOP_S,
        proxy_headers=False, **files,
    )  # fmt: skip


def check_tls(tls: Tls | None) -> None:
    """Raise ServiceError if the files cannot serve: uvicorn would end with a stack trace."""
    if tls is None:
        return
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(tls.certificate, tls.key, password=_no_password)
        if tls.client_ca is not None:
            context.load_verify_locations(tls.client_ca)
    except (OSError, ValueError) as e:  # ssl's errors are OSErrors
        files = ", ".join(str(path) for path in (tls.certificate, tls.key, tls.client_ca) if path is not None)
        why = getattr(e, "reason", None) or e.args[-1]
        raise ServiceError(
            f"cannot serve TLS with {files}: {why}; give a certificate and its key in PEM, the key without a password"
        ) from None


def _no_password() -> str:
    raise ValueError("the key has a password")


def allow_connections(count: int) -> None:
    """Raise the limit on open files as far as this many connections, and those that wait to be accepted, need it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + _BACKLOG + _OTHER_FILES
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


class Service:
    """One service around one event loop. `run` runs it from start to stop."""

    def __init__(self, settings: Settings, fleet: FleetSpec, options: ServiceOptions) -> None:
        self._watcher = ModelWatcher(settings, fleet, "http")
        self._metrics = metrics = ServiceMetrics(fleet.fleet)
        self._predictor = Predictor(fleet, options, metrics)
        app = build_app(fleet, options, self._predictor, metrics, self._following)
        self.app: ASGIApp = AccessMiddleware(app, metrics, options, settings.api_key)
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # it warns of each request that is no HTTP
        self._server = uvicorn.Server(server_config(self.app, options, metrics.closed))
        self._failure: BaseException | None = None

    def run(self, listener: socket.socket) -> None:
        """Answer on `listener` until asked to stop. Raises the error that ended the watcher of the models topic."""
        self._server.run(sockets=[listener])
        if self._failure is not None:
            raise self._failure

    @contextmanager
    def seen_at(self, host: str, port: int | None) -> Iterator[None]:
        """Serve health and metrics during a `with` block, in threads that callers do not keep busy; not if `port` is None."""
        if port is None:
            yield
            return
        with Endpoint(host, port, self._metrics.registry, self._predictor.look, "--health-port"):
            yield

    @asynccontextmanager
    async def _following(self, _: FastAPI) -> AsyncIterator[None]:
        """Follow the models topic while the service runs."""
        self._watcher.start()
        task = asyncio.create_task(self._predictor.follow(self._watcher), name="models")
        task.add_done_callback(self._ended)
        try:
            yield
        finally:
            task.cancel()
            await asyncio.to_thread(self._watcher.stop)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            self._failure = task.exception()
            self._server.should_exit = True
