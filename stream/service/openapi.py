"""The bodies in `/openapi.json`: JSON Schemas derived from the fleet file. Examples that need the model are added later."""

from __future__ import annotations

from typing import Any

from aimaas.fleet import FleetSpec
from aimaas.model.artefact import INPUT
from aimaas.records.events import event_schema
from stream.service.examples import example_events
from stream.service.inference_protocol import DATATYPE
from stream.service.problems import MEDIA_TYPE

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
    400: "The body is not JSON.",
    401: "The API key is missing or wrong.",
    408: "The body did not arrive in time.",
    413: "The body is too large, or holds too many instances.",
    422: "The body is JSON but invalid; the first invalid field is named.",
    503: "No model serves yet, or too many requests wait.",
}


def predict_request(fleet: FleetSpec, most: int) -> dict[str, Any]:
    """Return OpenAPI's `requestBody` of `POST /predict`."""
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
                "description": "the last events, the oldest first; the whole run gives the prediction of the stream",
                "items": {"type": "object", "required": ["readings"], "properties": kept},
            }
        },
    }


def _features_schema() -> dict[str, Any]:
    numbers = {"type": "array", "items": {"type": "number"}, "description": "as GET /v2/models/{fleet} names them"}
    return {"title": "features", "type": "object", "required": ["features"], "properties": {"features": numbers}}


def predict_responses() -> dict[int | str, dict[str, Any]]:
    """Return OpenAPI's `responses` of `POST /predict`."""
    return {200: _content("Predictions.", _prediction_schema()), **_refusals()}


def explain_responses() -> dict[int | str, dict[str, Any]]:
    """Return OpenAPI's `responses` of `POST /explain`."""
    schema = _prediction_schema()
    effect = {
        "type": "number",
        "description": "the prediction minus the prediction with typical values of this channel, in the unit of the prediction",
    }
    reason = {"type": "object", "properties": {"channel": {"type": "string"}, "effect": effect}}
    schema["properties"]["reasons"] = {
        "type": "array",
        "description": "one list per instance, the largest effect first; effects do not add up and are not causes",
        "items": {"type": "array", "items": reason},
    }
    without: dict[int | str, dict[str, Any]] = {
        409: {"description": "The model has no typical values to compare with.", "content": _PROBLEM_CONTENT}
    }
    return {200: _content("Predictions with reasons.", schema), **_refusals(), **without}


def top_parameter() -> list[dict[str, Any]]:
    """Return OpenAPI's `parameters` of `POST /explain`."""
    schema = {"type": "integer", "minimum": 1, "default": 3}
    return [{"name": "top", "in": "query", "description": "how many channels to name", "schema": schema}]


def _prediction_schema() -> dict[str, Any]:
    numbers = {"type": "array", "items": {"type": "number"}}
    interval = "interval of each prediction, if the model has intervals"
    return {
        "type": "object",
        "required": ["prediction", "model_version", "unit"],
        "properties": {
            "prediction": {**numbers, "description": "one per instance"},
            "lower": {**numbers, "description": f"{interval}, its lower end"},
            "upper": {**numbers, "description": f"{interval}, its upper end"},
            "model_version": {"type": "string"},
            "unit": {"type": "string", "description": "unit of the predictions; `1` for a probability"},
        },
    }


def infer_request() -> dict[str, Any]:
    """Return OpenAPI's `requestBody` of the inference protocol."""
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
    return _body(schema, {})


def infer_responses() -> dict[int | str, dict[str, Any]]:
    """Return OpenAPI's `responses` of the inference protocol."""
    schema = {"type": "object", "required": ["model_name", "model_version", "outputs"]}
    return {200: _content("Predictions.", schema), **_refusals()}


def fleet_parameter(fleet: FleetSpec) -> list[dict[str, Any]]:
    """Return OpenAPI's `parameters` of the paths that name the model, which is the fleet."""
    schema = {"type": "string", "const": fleet.fleet}
    return [{"name": "fleet", "in": "path", "required": True, "schema": schema, "example": fleet.fleet}]


def _body(schema: dict[str, Any], examples: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": schema, "examples": examples}}}


def _content(what: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": what, "content": {"application/json": {"schema": schema}}}


def _refusals() -> dict[int | str, dict[str, Any]]:
    return {code: {"description": what, "content": _PROBLEM_CONTENT} for code, what in _REFUSALS.items()}
