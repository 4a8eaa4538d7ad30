"""The routes: `POST /predict`, the Open Inference Protocol, health, metrics and the OpenAPI page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from http import HTTPStatus
from importlib.metadata import version as version_of
from typing import Any

import msgspec
import numpy as np
from fastapi import FastAPI, Request, Response
from fastapi_offline import FastAPIOffline
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from aimaas.fleet import FailureWithin, FleetSpec
from aimaas.model.artefact import OUTPUT
from aimaas.model.intervals import LOWER, UPPER
from stream.model.load import Model
from stream.service import inference_protocol as protocol
from stream.service import openapi
from stream.service.access.middleware import DOCS_FILES
from stream.service.examples import fill_in
from stream.service.instances import InstanceReader, digest
from stream.service.metrics import ServiceMetrics
from stream.service.options import ServiceOptions
from stream.service.predictor import Predictor
from stream.service.problems import Problem

_encode = msgspec.json.Encoder().encode
_MOST_REASONS = 1_000  # more than there are channels, so it means all of them
_DIGITS = 10  # of a plausible number: int() takes no more than 4,300
CLIENT_CLOSED = 499  # nginx's status
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


class Routes:
    """The handlers; each takes a request and returns an answer, or raises Problem."""

    def __init__(
        self, fleet: FleetSpec, options: ServiceOptions, predictor: Predictor, metrics: ServiceMetrics
    ) -> None:
        self._fleet, self._options, self._predictor, self._metrics = fleet, options, predictor, metrics
        self._reader = InstanceReader(fleet, options.instances)

    async def predict(self, request: Request) -> Response:
        """Predict for one instance or many: raw readings of a device's last events, or features."""
        raws, pointers = self._reader.split(await request.body())
        model = self._predictor.model()
        width, read = model.kernel.width, self._reader.instance
        predictions = await self._predictor.predict(
            model,
            [digest(memoryview(raw), b"instance") for raw in raws],
            lambda i: read(raws[i], pointers[i], width),
            pointers,
        )
        named = {"model_version": model.version, "unit": model.metadata.prediction_unit}
        return _json({**_with_interval(model, predictions), **named})

    async def explain(self, request: Request) -> Response:
        """Predict as `/predict` does, and say which channels the prediction rests on most."""
        count, model = self._reasons_wanted(request), self._predictor.model()
        if model.metadata.typical is None:
            detail = f"model version {model.version} has no typical values, because an older release trained it: train it again"
            raise Problem(409, "no-reasons", detail)
        raws, pointers = self._reader.split(await request.body())
        instances = [self._reader.instance(raw, p, model.kernel.width) for raw, p in zip(raws, pointers, strict=True)]
        found = await self._predictor.explain(model, instances, pointers)
        predictions, strongest = [one.prediction for one in found], [one.strongest(count) for one in found]
        named = {"reasons": strongest, "model_version": model.version, "unit": model.metadata.prediction_unit}
        return _json({**_with_interval(model, predictions), **named})

    @staticmethod
    def _reasons_wanted(request: Request) -> int:
        """Return how many channels to name: the query's `top`, by default 3."""
        given = request.query_params.get("top", "3")
        if not (given.isdecimal() and len(given) <= _DIGITS and 1 <= int(given) <= _MOST_REASONS):
            raise Problem(422, "invalid-input", f"query top: found {given[:20]!r}, allowed: 1 to {_MOST_REASONS}")
        return int(given)

    async def infer(self, request: Request) -> Response:
        """Predict for rows of features, by the Open Inference Protocol."""
        model = self._model(request)
        asked = protocol.read_request(await request.body(), model, self._options.instances)
        features = asked.features
        predictions = await self._predictor.predict(
            model,
            [digest(row.data, b"features") for row in features],
            lambda i: protocol.row_of(features, i),
            protocol.row_pointers(len(features)),
        )
        return _json(protocol.answer(model, _with_interval(model, predictions), asked))

    def _model(self, request: Request) -> Model:
        name = request.path_params["fleet"]
        if name != self._fleet.fleet:
            detail = f"/v2/models/{name[:80]}: no such model, allowed: {self._fleet.fleet}"
            raise Problem(404, "not-found", detail)
        return self._predictor.model()

    async def metadata(self, request: Request) -> Response:
        """Say what the model takes and gives; its features by name."""
        return _json(protocol.metadata(self._model(request)))

    async def model_ready(self, request: Request) -> Response:
        """Say whether the model serves."""
        model = self._model(request)
        self._predictor.check_well()
        return _json({"name": model.metadata.fleet, "ready": True})

    async def server(self, request: Request) -> Response:
        """Say which server this is."""
        return _json({"name": "aimaas", "version": version_of("aimaas"), "extensions": []})

    async def live(self, request: Request) -> Response:
        """Say whether the service works; a hanging model makes it unwell."""
        self._predictor.check_well()
        return _json({"live": True})

    async def ready(self, request: Request) -> Response:
        """Say whether a model serves, and which."""
        model = self._predictor.model()
        self._predictor.check_well()
        return _json({"ready": True, "model_version": model.version})

    async def metrics(self, request: Request) -> Response:
        """Metrics in Prometheus' text format."""
        return Response(generate_latest(self._metrics.registry), media_type=CONTENT_TYPE_LATEST)


def build_app(
    fleet: FleetSpec, options: ServiceOptions, predictor: Predictor, metrics: ServiceMetrics, lifespan: Lifespan
) -> FastAPI:
    """Build the application, without the guards of `AccessMiddleware`. `lifespan` runs around its life, within the batcher's."""

    @asynccontextmanager
    async def working(app: FastAPI) -> AsyncIterator[None]:
        predictor.batcher.start()
        try:
            async with lifespan(app):
                yield
        finally:
            await predictor.batcher.stop()

    app = FastAPIOffline(
        title=f"aimaas {fleet.fleet}",
        description=_described(fleet),
        version=version_of("aimaas"),
        redoc_url=None,
        static_url=DOCS_FILES,
        lifespan=working,
        redirect_slashes=False,
    )
    _keep_examples_fresh(app, fleet, predictor)
    routes = Routes(fleet, options, predictor, metrics)
    _add_routes(app, routes, fleet, options)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)
    for kind in (HTTPException, Problem, Exception):
        app.add_exception_handler(kind, _on_error)
    return app


def _keep_examples_fresh(app: FastAPI, fleet: FleetSpec, predictor: Predictor) -> None:
    """Have `/openapi.json` answer with examples of the model that serves; they are computed once for each model."""
    plain, made_for = app.openapi, object()

    def with_examples() -> dict[str, Any]:
        nonlocal made_for
        schema, model = plain(), predictor.served
        if model is not made_for:
            made_for = model
            fill_in(schema, fleet, model)
        return schema

    app.openapi = with_examples  # type: ignore[method-assign]  # as FastAPI's documentation says


def _add_routes(app: FastAPI, routes: Routes, fleet: FleetSpec, options: ServiceOptions) -> None:
    predict, infer = openapi.predict_request(fleet, options.instances), openapi.infer_request()
    app.add_api_route(
        "/predict", routes.predict, methods=["POST"], tags=["predict"],
        openapi_extra={"requestBody": predict}, responses=openapi.predict_responses(),
    )  # fmt: skip
    app.add_api_route(
        "/explain", routes.explain, methods=["POST"], tags=["predict"],
        openapi_extra={"requestBody": predict, "parameters": openapi.top_parameter()},
        responses=openapi.explain_responses(),
    )  # fmt: skip
    app.add_api_route(
        "/v2/models/{fleet}/infer", routes.infer, methods=["POST"], tags=["inference protocol"],
        openapi_extra={"requestBody": infer, "parameters": openapi.fleet_parameter(fleet)},
        responses=openapi.infer_responses(),
    )  # fmt: skip
    named = {"parameters": openapi.fleet_parameter(fleet)}
    for path, handler in (("", routes.metadata), ("/ready", routes.model_ready)):
        app.add_api_route(f"/v2/models/{{fleet}}{path}", handler, tags=["inference protocol"], openapi_extra=named)
    for path, handler in (("", routes.server), ("/health/live", routes.live), ("/health/ready", routes.ready)):
        app.add_api_route(f"/v2{path}", handler, tags=["inference protocol"])
    for path, handler in (("/healthz", routes.live), ("/readyz", routes.ready), ("/metrics", routes.metrics)):
        app.add_api_route(path, handler, tags=["operation"])


def _described(fleet: FleetSpec) -> str:
    task = fleet.task
    what = (
        f"probabilities of a failure within {task.horizon:g}"
        if isinstance(task, FailureWithin)
        else "remaining life in"
    )
    return f"{fleet.description} Predictions are {what} {task.unit}."


def _with_interval(model: Model, predictions: list[float]) -> dict[str, list[float]]:
    """Return the predictions, with their bounds if the model has intervals, as the stream does."""
    if model.bounds is None:
        return {OUTPUT: predictions}
    lower, upper = model.bounds.of(np.array(predictions, np.float32))
    return {OUTPUT: predictions, LOWER: lower.tolist(), UPPER: upper.tolist()}


def _json(value: Any) -> Response:
    return Response(_encode(value), media_type="application/json")


async def _on_disconnect(request: Request, error: Exception) -> Response:
    """Answer a closed connection: nobody reads the answer, but the metrics count the status of a caller that left early."""
    return Response(status_code=CLIENT_CLOSED)


async def _on_error(request: Request, error: Exception) -> Response:
    """Answer any error as problem details. An error that is no `Problem` is our defect or a route that does not exist."""
    path = request.url.path
    if isinstance(error, Problem):
        return error.response(path)
    if isinstance(error, HTTPException):
        return _http_problem(error, request.method, path).response(path)
    return Problem(500, "internal", "internal error; the log of the service has the cause").response(path)


def _http_problem(error: HTTPException, method: str, path: str) -> Problem:
    if error.status_code == HTTPStatus.NOT_FOUND:
        return Problem(404, "not-found", f"no path {path[:80]}; /docs lists all paths")
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = (error.headers or {}).get("Allow", "another")
        detail = f"{path[:80]}: found method {method[:20]}, allowed: {allowed}"
        return Problem(405, "method-not-allowed", detail, headers=error.headers)
    return Problem(error.status_code, "refused", str(error.detail), headers=error.headers)
