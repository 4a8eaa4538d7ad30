"""Examples of `/openapi.json`: requests that get status 200 for any fleet file, and the present model's answers to them."""

from __future__ import annotations

from typing import Any

import numpy as np

from aimaas.fleet import FleetSpec
from aimaas.kernel.plan import plan_of
from aimaas.model.artefact import INPUT, OUTPUT
from aimaas.model.intervals import LOWER, UPPER
from aimaas.records.readings import Float64, ReadingRules
from stream.devices.simulator import healthy_rows
from stream.model.load import Model
from stream.service.explanations import Reasoned
from stream.service.inference_protocol import DATATYPE
from stream.service.instances import Events, Explained, Features
from stream.service.scoring import Answer, Scoring

SHOWN_EVENTS = 3
_TRIES = 300  # rows that are tried until the judge has admitted enough
_SEED = 7

_INFER = "/v2/models/{fleet}/infer"

Schema = dict[str, Any]


def example_events(fleet: FleetSpec, count: int = SHOWN_EVENTS) -> list[Schema]:
    """Return events for an instance, as a new device of the fleet may send them."""
    return [{"readings": dict(zip(fleet.readings, row, strict=True))} for row in _rows(fleet, count).tolist()]


def _rows(fleet: FleetSpec, count: int) -> Float64:
    """Return readings (count, R) that the judge admits.

    This needs tries: a derived channel may divide by a healthy device's zero.
    """
    healthy = healthy_rows(fleet, _TRIES, _SEED)
    low, high = np.array([r.range for r in fleet.reading_specs], np.float64).T
    anywhere = low + np.random.default_rng(_SEED).random((_TRIES, len(low))) * (high - low)
    tried = np.concatenate([healthy, anywhere])
    refused = {fault.row for fault in ReadingRules(fleet).faults(tried)}
    good = [row for row in range(len(tried)) if row not in refused][:count] or list(range(count))
    found: Float64 = tried[np.resize(good, count)]
    return found


def zeros(fleet: FleetSpec, model: Model | None) -> Schema:
    """Return a request of the inference protocol with one row of zeros, as wide as the model's features."""
    width = len(plan_of(fleet).feature_names) if model is None else model.kernel.width
    return {"inputs": [{"name": INPUT, "shape": [1, width], "datatype": DATATYPE, "data": [0.0] * width}]}


def _answers(fleet: FleetSpec, model: Model) -> dict[str, Schema]:
    """Return the model's answers by path: to `example_events`, with reasons if it has typical values, and to `zeros`."""
    rows, scoring = _rows(fleet, SHOWN_EVENTS), Scoring(fleet)
    events, row = Events(rows, np.arange(len(rows)) == 0), Features(np.zeros(model.kernel.width, np.float32))
    explained = [] if model.metadata.typical is None else [Explained(events, 1)]
    told, of_zeros, *reasoned = scoring.score(model, [events, row, *explained])
    predict = {**_said(model, told), "model_version": model.version, "unit": fleet.prediction_unit}
    outputs = [
        {"name": name, "datatype": DATATYPE, "shape": [1, 1], "data": data}
        for name, data in _said(model, of_zeros).items()
    ]
    infer = {"model_name": fleet.fleet, "model_version": model.version, "outputs": outputs}
    reasons = [one.strongest(3) if isinstance(one, Reasoned) else [] for one in reasoned]
    explain = {"/explain": {**predict, "reasons": reasons}} if reasons else {}
    return {"/predict": predict, **explain, _INFER: infer}


def _said(model: Model, answer: Answer) -> dict[str, list[float]]:
    """Return a prediction, with its bounds if the model has intervals; 0 where the model has no answer."""
    number = answer if isinstance(answer, float) else 0.0
    if model.bounds is None:
        return {OUTPUT: [number]}
    lower, upper = model.bounds.of(np.array([number], np.float32))
    return {OUTPUT: [number], LOWER: lower.tolist(), UPPER: upper.tolist()}


def fill_in(schema: Schema, fleet: FleetSpec, model: Model | None) -> None:
    """Put the examples that depend on the model into an OpenAPI schema; it has no answers while no model serves."""
    answers = {} if model is None else _answers(fleet, model)
    for path in ("/predict", "/explain", _INFER):
        answer = schema["paths"][path]["post"]["responses"]["200"]["content"]["application/json"]
        answer.pop("example", None)
        answer.update({"example": answers[path]} if path in answers else {})
    content = schema["paths"][_INFER]["post"]["requestBody"]["content"]["application/json"]
    content["examples"] = {"zeros": {"summary": "one row of zeros", "value": zeros(fleet, model)}}
