"""Examples of `/openapi.json`: requests that get status 200 for any fleet file, and the present model's answers to them."""

from __future__ import annotations

from typing import Any

import numpy as np

from aimaas.fleet import FailureWithin, FleetSpec
from aimaas.kernel.plan import plan_of
from aimaas.model.artefact import INPUT, OUTPUT
from aimaas.model.intervals import LOWER, UPPER
from aimaas.records.readings import Float64, ReadingRules
from stream.devices.simulator import healthy_rows
from stream.model.load import Model
from stream.service.explanations import Reasoned
from stream.service.inference_protocol import DATATYPE
from stream.service.instances import Events, Explained, Features, Instance
from stream.service.scoring import Scoring

SHOWN_EVENTS = 3
_TRIES = 300  # rows that are tried until the judge has admitted enough
_SEED = 7

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


class Answers:
    """The answers to the examples: the model's, or plausible ones while no model serves."""

    def __init__(self, fleet: FleetSpec, model: Model | None) -> None:
        self._fleet, self._model = fleet, model
        self._scoring = Scoring(fleet)

    def predict(self) -> Schema:
        """Return the answer of `/predict` to `example_events`."""
        return {**self._said(self._events()), **self._named()}

    def explain(self) -> Schema:
        """Return the answer of `/explain` to `example_events`."""
        reasons: list[Schema] = [{"channel": plan_of(self._fleet).channels[0], "effect": -0.1 * self._plausible()}]
        if self._model is not None and self._model.metadata.typical is not None:
            (found,) = self._scoring.score(self._model, [Explained(self._events(), 1)])
            reasons = [dict(one) for one in found.strongest(3)] if isinstance(found, Reasoned) else []
        return {**self._said(self._events()), "reasons": [reasons], **self._named()}

    def infer(self) -> Schema:
        """Return the answer of the inference protocol to `zeros`."""
        (tensor,) = zeros(self._fleet, self._model)["inputs"]
        said = self._said(Features(np.array(tensor["data"], np.float32)))
        outputs = [{"name": n, "datatype": DATATYPE, "shape": [1, 1], "data": data} for n, data in said.items()]
        return {"model_name": self._fleet.fleet, "model_version": self._named()["model_version"], "outputs": outputs}

    def _events(self) -> Events:
        rows = _rows(self._fleet, SHOWN_EVENTS)
        return Events(rows, np.arange(len(rows)) == 0)

    def _named(self) -> dict[str, str]:
        version = "1" if self._model is None else self._model.version
        return {"model_version": version, "unit": self._fleet.prediction_unit}

    def _said(self, instance: Instance) -> dict[str, list[float]]:
        """Return the prediction, with its bounds if the model has intervals."""
        found = self._plausible() if self._model is None else self._scoring.score(self._model, [instance])[0]
        number = found if isinstance(found, float) else self._plausible()
        if self._model is None or self._model.bounds is None:
            return {OUTPUT: [number]}
        lower, upper = self._model.bounds.of(np.array([number], np.float32))
        return {OUTPUT: [number], LOWER: lower.tolist(), UPPER: upper.tolist()}

    def _plausible(self) -> float:
        task = self._fleet.task
        return 0.03 if isinstance(task, FailureWithin) else round(0.9 * task.cap, 1)


def fill_in(schema: Schema, fleet: FleetSpec, model: Model | None) -> None:
    """Put the examples that depend on the model into an OpenAPI schema."""
    paths, answers = schema["paths"], Answers(fleet, model)
    infer = paths["/v2/models/{fleet}/infer"]["post"]
    content = infer["requestBody"]["content"]["application/json"]
    content["examples"] = {"zeros": {"summary": "one row of zeros", "value": zeros(fleet, model)}}
    for post, answer in (
        (paths["/predict"]["post"], answers.predict()),
        (paths["/explain"]["post"], answers.explain()),
        (infer, answers.infer()),
    ):
        post["responses"]["200"]["content"]["application/json"]["example"] = answer
