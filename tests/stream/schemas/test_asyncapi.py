"""The AsyncAPI document is one by the official JSON Schema of AsyncAPI 3.0.0."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from jsonschema.protocols import Validator

from aimaas.fleet import find_fleet
from stream.schemas.asyncapi import asyncapi
from tests.npm import npm_ci

HERE = Path(__file__).parent
FLEETS = HERE.parents[2] / "fleets"


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> Validator:
    folder = tmp_path_factory.mktemp("npm")
    npm_ci(HERE, folder)
    file = folder / "node_modules/@asyncapi/specs/schemas/3.0.0-without-$id.json"
    return Draft7Validator(json.loads(file.read_text()))


def resolved(document: dict[str, Any], reference: str) -> Any:
    found: Any = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def references(part: Any) -> list[str]:
    if isinstance(part, list):
        return [r for inner in part for r in references(inner)]
    if not isinstance(part, dict):
        return []
    own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
    return own + [r for inner in part.values() for r in references(inner)]


@pytest.mark.parametrize("name", ["turbofan", "mill"])
def test_the_document_fits_the_official_schema(name: str, official: Validator) -> None:
    document = asyncapi(find_fleet(FLEETS, name))

    assert [f"{e.json_path}: {e.message}" for e in official.iter_errors(document)] == []
    assert not official.is_valid(document | {"channels": {"events": {"address": 7}}})
    assert not official.is_valid(
        document | {"operations": {"x": {"action": "shout", "channel": {"$ref": "#/channels/events"}}}}
    )


def test_its_references_lead_somewhere_and_each_operation_is_of_its_channel() -> None:
    document = asyncapi(find_fleet(FLEETS, "mill"))

    assert all(resolved(document, reference) for reference in references(document))
    received = {name for name, o in document["operations"].items() if o["action"] == "receive"}
    assert received == {"receive_events", "receive_outcomes"}
    assert document["channels"]["events"]["address"] == "iot.mill.events"
    assert document["channels"]["events"]["bindings"]["kafka"]["partitions"] == 4
