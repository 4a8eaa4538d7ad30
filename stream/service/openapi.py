"""What `/openapi.json` says of the bodies: JSON Schemas and an example that works, derived from the fleet file."""

from __future__ import annotations

import math
from typing import Any

from aimaas.artefact import INPUT, OUTPUT
from aimaas.events import event_schema
from aimaas.fleet import FleetSpec
from aimaas.plan import plan_of
from stream.devices.simulator import simulate
from stream.service.inference_protocol import DATATYPE
from stream.service.problems import MEDIA_TYPE

_SHOWN_EVENTS = 3
_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "what was found, where, and what is allowed"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "detail"],
                "properties": {
                    "pointer": {"type": "string", "description": "JSON pointer to the field"},
                    "detail": {"type": "string"},
                    "found": {"type": "string"},
                    "allowed": {"type": "string"},
                    "reason": {"type": "string", "description": "as on the dead-letter topic"},
                },
            },
        },
    },
}
_PROBLEM_CONTENT = {MEDIA_TYPE: {"schema": _PROBLEM}}
_REFUSALS = {
    400: "The body is no JSON.",
    401: "The API key is missing or wrong.",
    408: "The body has not come in time.",
    413: "The body is too large, or holds too many instances.",
    422: "The body is JSON, but not what is asked for; the first field is named.",
    503: "No model serves yet, or too many requests wait.",
}


def example_events(fleet: FleetSpec, count: int = _SHOWN_EVENTS) -> list[dict[str, Any]]:
    """The first events of a simulated device of the fleet, as instances hold them."""
    values = simulate(fleet, 1, seed=7).values[:count].tolist()
    rows = [[None if math.isnan(x) else x for x in row] for row in values]
    return [{"readings": dict(zip(fleet.readings, row, strict=True))} for row in rows]


def predict_request(fleet: FleetSpec, most: int) -> dict[str, Any]:
    """OpenAPI's `requestBody` of `POST /predict`."""
    instance = {"oneOf": [_events_schema(fleet), _features_schema()]}
    many = {
        "type": "object",
        "required": ["instances"],
        "properties": {"instances": {"type": "array", "minItems": 1, "maxItems": most, "items": instance}},
    }
    examples = {
        "events": {"summary": "a device's last events", "value": {"instances": [{"events": example_events(fleet)}]}},
        "single": {"summary": "one instance", "value": {"events": example_events(fleet, 1)}},
    }
    return _body({"anyOf": [many, instance]}, examples)


def _events_schema(fleet: FleetSpec) -> dict[str, Any]:
    properties = event_schema(fleet)["properties"]
    kept = {name: properties[name] for name in ("readings", "run", fleet.order)}
    return {
        "title": "events",
        "type": "object",
        "required": ["events"],
        "properties": {
            "events": {
                "type": "array",
                "minItems": 1,
                "description": "the device's last events, the oldest first; with the whole run the answer is the stream's",
                "items": {"type": "object", "required": ["readings"], "properties": kept},
            }
        },
    }


def _features_schema() -> dict[str, Any]:
    numbers = {"type": "array", "items": {"type": "number"}, "description": "as GET /v2/models/{fleet} names them"}
    return {"title": "features", "type": "object", "required": ["features"], "properties": {"features": numbers}}


def predict_responses(fleet: FleetSpec) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's `responses` of `POST /predict`."""
    example = {"prediction": [112.4], "model_version": "3", "unit": fleet.task.unit}
    return {200: _content("Predictions.", _prediction_schema(), example), **_refusals()}


def explain_responses(fleet: FleetSpec) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's `responses` of `POST /explain`."""
    schema, channel = _prediction_schema(), plan_of(fleet).channels[0]
    effect = {
        "type": "number",
        "description": "the prediction less what it would be if this channel were as it typically is, in the target's unit",
    }
    reason = {"type": "object", "properties": {"channel": {"type": "string"}, "effect": effect}}
    schema["properties"]["reasons"] = {
        "type": "array",
        "description": "one list for each instance, the largest effect first; effects do not add up, and name no causes",
        "items": {"type": "array", "items": reason},
    }
    example = {
        "prediction": [112.4],
        "reasons": [[{"channel": channel, "effect": -7.3}]],
        "model_version": "3",
        "unit": fleet.task.unit,
    }
    without: dict[int | str, dict[str, Any]] = {
        409: {"description": "The model has no typical values to compare with.", "content": _PROBLEM_CONTENT}
    }
    return {200: _content("Predictions with reasons.", schema, example), **_refusals(), **without}


def top_parameter() -> list[dict[str, Any]]:
    """OpenAPI's `parameters` of `POST /explain`."""
    schema = {"type": "integer", "minimum": 1, "default": 3}
    return [{"name": "top", "in": "query", "description": "how many channels to name", "schema": schema}]


def _prediction_schema() -> dict[str, Any]:
    numbers = {"type": "array", "items": {"type": "number"}}
    interval = "where the model has intervals, that of each prediction"
    return {
        "type": "object",
        "required": ["prediction", "model_version", "unit"],
        "properties": {
            "prediction": {**numbers, "description": "one for each instance"},
            "lower": {**numbers, "description": f"{interval}, its lower end"},
            "upper": {**numbers, "description": f"{interval}, its upper end"},
            "model_version": {"type": "string"},
            "unit": {"type": "string"},
        },
    }


def infer_request(fleet: FleetSpec) -> dict[str, Any]:
    """OpenAPI's `requestBody` of the inference protocol; the example has the features of the fleet file's own plan."""
    width = len(plan_of(fleet).feature_names)
    tensor = {
        "type": "object",
        "required": ["name", "shape", "datatype", "data"],
        "properties": {
            "name": {"const": INPUT},
            "shape": {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2},
            "datatype": {"const": DATATYPE},
            "data": {"type": "array", "description": "flat, or one list per row"},
        },
    }
    schema = {
        "type": "object",
        "required": ["inputs"],
        "properties": {"id": {"type": "string"}, "inputs": {"type": "array", "items": tensor}},
    }
    one = {"name": INPUT, "shape": [1, width], "datatype": DATATYPE, "data": [0.0] * width}
    return _body(schema, {"zeros": {"summary": "one row of zeros", "value": {"inputs": [one]}}})


def infer_responses(fleet: FleetSpec) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's `responses` of the inference protocol."""
    schema = {"type": "object", "required": ["model_name", "model_version", "outputs"]}
    output = {"name": OUTPUT, "datatype": DATATYPE, "shape": [1, 1], "data": [112.4]}
    example = {"model_name": fleet.fleet, "model_version": "3", "outputs": [output]}
    return {200: _content("Predictions.", schema, example), **_refusals()}


def fleet_parameter(fleet: FleetSpec) -> list[dict[str, Any]]:
    """OpenAPI's `parameters` of the paths that name the model, which is the fleet."""
    return [{"name": "fleet", "in": "path", "required": True, "schema": {"type": "string", "const": fleet.fleet}}]


def _body(schema: dict[str, Any], examples: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": schema, "examples": examples}}}


def _content(what: str, schema: dict[str, Any], example: Any) -> dict[str, Any]:
    return {"description": what, "content": {"application/json": {"schema": schema, "example": example}}}


def _refusals() -> dict[int | str, dict[str, Any]]:
    return {code: {"description": what, "content": _PROBLEM_CONTENT} for code, what in _REFUSALS.items()}
