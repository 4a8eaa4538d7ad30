"""The HTTP service as a process: listen, follow the champion, answer until asked to stop."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp

from aimaas.errors import ServiceError
from aimaas.fleet import FleetSpec
from aimaas.kafka import end_offsets
from aimaas.logs import logger
from aimaas.outage import outage_of
from aimaas.settings import Settings
from aimaas.topics import topic_names
from stream.model.watch import ModelWatcher
from stream.service.app import build_app
from stream.service.edge import Edge
from stream.service.heads import head_within
from stream.service.metrics import ServiceMetrics
from stream.service.options import ServiceOptions
from stream.service.predictor import Predictor

_BACKLOG = 2_048
_STOP_S = 10  # requests that are being answered may take so long at the end

log = logger("service")


def serve(settings: Settings, fleet: FleetSpec, host: str, port: int, options: ServiceOptions | None = None) -> None:
    """Serve until SIGTERM or SIGINT. Port 0 takes any free one; the log says which.

    Raises ServiceError where it cannot listen, KafkaError where the models topic is not there or must not be read. A cluster
    that is away is waited for: the service answers that it has no model yet.
    """
    with listen(host, port) as listener:
        if outage_of(settings).wait(
            lambda _: True, f"serve fleet {fleet.fleet}"
        ):  # else the watcher waits for the cluster
            end_offsets(settings, topic_names(fleet).models)  # a missing topic is said at once
        service = Service(settings, fleet, options or ServiceOptions())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(
                number, lambda *_: None
            )  # uvicorn has its own, and sends the signal again when it has stopped
        where = listener.getsockname()
        log.info("service listens", fleet=fleet.fleet, host=where[0], port=where[1], api_key=bool(settings.api_key))
        service.run(listener)
    log.info("service stopped", fleet=fleet.fleet)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises ServiceError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except (OSError, OverflowError) as e:
        why = os.strerror(e.errno) if isinstance(e, OSError) and e.errno and e.errno > 0 else str(e)
        raise ServiceError(
            f"cannot listen on {host} port {port}: {why}; end what listens there, or give another --host or --port"
        ) from None


def server_config(app: ASGIApp, options: ServiceOptions) -> uvicorn.Config:
    """How uvicorn runs: bounded in its connections, and in the time that it waits for a request's head."""
    return uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False, lifespan="on", ws="none",
        http=head_within(options.head_s), limit_concurrency=options.connections, timeout_graceful_shutdown=_STOP_S,
    )  # fmt: skip


class Service:
    """One service around one event loop; `run` is its life."""

    def __init__(self, settings: Settings, fleet: FleetSpec, options: ServiceOptions) -> None:
        self._watcher = ModelWatcher(settings, fleet, "http")
        metrics = ServiceMetrics(fleet.fleet)
        self._predictor = Predictor(fleet, options, metrics)
        app = build_app(fleet, options, self._predictor, metrics, self._following)
        self.app: ASGIApp = Edge(app, metrics, options, settings.api_key)
        self._server = uvicorn.Server(server_config(self.app, options))
        self._failure: BaseException | None = None

    def run(self, listener: socket.socket) -> None:
        """Answer on `listener` until asked to stop. Raises what ended the following of the models topic."""
        self._server.run(sockets=[listener])
        if self._failure is not None:
            raise self._failure

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
