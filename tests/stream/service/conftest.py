"""A running service in this process: the real server and the real model, with or without Kafka behind it."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
import uvicorn
from fastapi import FastAPI
from onnx import TensorProto, helper, numpy_helper
from prometheus_client import generate_latest

from aimaas.fleet import FleetSpec
from aimaas.kernel.fit import Fit
from aimaas.kernel.plan import plan_of
from aimaas.model.artefact import INPUT, METADATA_KEY, OUTPUT, ModelMetadata, encode_metadata, sha256
from aimaas.model.intervals import Intervals
from aimaas.records.events import Announcement
from aimaas.settings import read_settings
from stream.model.load import Model, load_model
from stream.service.access.middleware import AccessMiddleware
from stream.service.app import build_app
from stream.service.metrics import ServiceMetrics
from stream.service.options import ServiceOptions
from stream.service.predictor import Predictor
from stream.service.server import listen, server_config
from tests.artefacts import note_as_tried, stored

LIMIT_S = 30.0


def pump() -> FleetSpec:
    """A fleet with a setting, a reading that may be null, a derived channel, and windows."""
    reading = {"name": "x", "unit": "1", "range": [-10, 10]}
    return FleetSpec.model_validate(
        {
            "fleet": "pump", "version": 1, "settings": {"o": reading},
            "sensors": {"a": reading, "b": reading, "n": {**reading, "nullable": True, "fill": "previous"}},
            "derived": {"ratio": "a / b"}, "features": {"windows": [2, 3], "first": 2},
            "task": {"kind": "remaining_useful_life", "unit": "cycles", "cap": 125}, "training": {"candidates": {"ridge": {}}},
        }
    )  # fmt: skip


def weighted_sum(
    fleet: FleetSpec, folder: Path, version: str = "1", factor: float = 1.0, intervals: Intervals | None = None
) -> Model:
    """A loaded model of the fleet: its features times weights; `factor` tells versions apart."""
    plan = plan_of(fleet)
    c, width = len(plan.channels), len(plan.feature_names)
    fit = Fit(((0.0,) * plan.settings,), (0.0,) * plan.settings, ((0.0,) * c,), ((0.1,) * c,))
    weights = np.linspace(0.1, 1, width, dtype=np.float32)[:, None] * np.float32(factor)
    graph = helper.make_graph(
        [helper.make_node("MatMul", [INPUT, "w"], [OUTPUT])], "t",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["n", width])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["n", 1])],
        [numpy_helper.from_array(weights, "w")],
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    unit, kind = fleet.task.unit, fleet.task.kind
    typical = (1.0,) * width
    about = ModelMetadata(fleet.fleet, 1, kind, unit, "t", plan, fit, (0, 1), "", "", 7, "", {}, intervals, typical)
    helper.set_model_props(made, {METADATA_KEY: encode_metadata(about)})
    settings, content = read_settings({"AIMAAS_HOME": str(folder)}), made.SerializeToString()
    path, digest = stored(settings, f"{version}/model.onnx", content), sha256(content)
    note_as_tried(settings, fleet, content)
    return load_model(
        Announcement("champion", version, int(version), str(path), digest, plan.hash, fit.id, datetime.now(UTC)),
        fleet,
        settings,
    )


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


def call(
    port: int, path: str, body: Any = None, method: str | None = None, headers: dict[str, str] | None = None
) -> Answer:
    """One request on a connection of its own; `body` bytes, or anything that JSON can hold."""
    content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
    try:
        connection.request(method or ("GET" if body is None else "POST"), path, content, headers or {})
        response = connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read().decode())
    finally:
        connection.close()


@contextmanager
def running(app: Any, options: ServiceOptions, closed: Callable[[str], None] = lambda _: None) -> Iterator[int]:
    """A real server for the app, in a thread; yields its port."""
    listener: socket.socket = listen("127.0.0.1", 0)
    server = uvicorn.Server(server_config(app, options, closed))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        limit = time.monotonic() + LIMIT_S
        while not server.started:
            assert thread.is_alive(), "the server ended while it started"
            assert time.monotonic() < limit
            time.sleep(0.01)
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(LIMIT_S)
        listener.close()
    assert not thread.is_alive()


@dataclass
class Served:
    """A service of the pump fleet without Kafka: the test says which model serves."""

    folder: Path
    fleet: FleetSpec = field(default_factory=pump)
    options: ServiceOptions = field(default_factory=ServiceOptions)
    api_key: str | None = None
    port: int = 0

    def __post_init__(self) -> None:
        self.model = weighted_sum(self.fleet, self.folder)
        self.metrics = ServiceMetrics(self.fleet.fleet)
        self.predictor = Predictor(self.fleet, self.options, self.metrics)

    @contextmanager
    def start(self, model: bool = True) -> Iterator[Served]:
        @asynccontextmanager
        async def life(_: FastAPI) -> AsyncIterator[None]:
            if model:
                await self.predictor.take(self.model)
            yield

        app = build_app(self.fleet, self.options, self.predictor, self.metrics, life)
        edge = AccessMiddleware(app, self.metrics, self.options, self.api_key)
        with running(edge, self.options, self.metrics.closed) as self.port:
            yield self

    def call(self, path: str, body: Any = None, method: str | None = None, **headers: str) -> Answer:
        return call(self.port, path, body, method, {k.replace("_", "-"): v for k, v in headers.items()})


Serving: TypeAlias = Callable[..., AbstractContextManager[Served]]


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    """Start a service with these options."""

    @contextmanager
    def start(api_key: str | None = None, model: bool = True, **options: Any) -> Iterator[Served]:
        with Served(tmp_path, options=ServiceOptions(**options), api_key=api_key).start(model) as made:
            yield made

    yield start


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One service that the tests of a module share."""
    with Served(tmp_path_factory.mktemp("served")).start() as made:
        yield made


@pytest.fixture
def call_http() -> Callable[..., Answer]:
    """One request to a port."""
    return call


def metric(served: Served, name: str) -> float:
    line = next(
        x for x in generate_latest(served.metrics.registry).decode().splitlines() if x.startswith(f"aimaas_http_{name}")
    )
    return float(line.split()[-1])


def wait_until(condition: Any) -> None:
    limit = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.02)
