"""Selects the requested schemas, and writes their files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from aimaas.errors import AimaasError
from aimaas.fleet import FleetSpec
from stream.schemas.asyncapi import asyncapi
from stream.schemas.structs import Schema
from stream.schemas.topics import schemas


class NoSchemaError(AimaasError):
    """The requested schema does not exist, or it cannot be written."""


def all_documents(fleets: Sequence[FleetSpec]) -> dict[str, Schema]:
    """Return the JSON Schemas of these fleets by topic, and for each fleet the AsyncAPI document `<fleet>.asyncapi`."""
    found = {f"{fleet.fleet}.asyncapi": asyncapi(fleet) for fleet in fleets}
    return found | {name: schema for fleet in fleets for name, schema in schemas(fleet).items()}


def one_schema(fleet: FleetSpec, topic: str) -> Schema:
    """Return the schema of the fleet's `topic`, a full name or one without `iot.<fleet>.`. Raises NoSchemaError with all names."""
    found, prefix = schemas(fleet), f"iot.{fleet.fleet}."
    for name in (topic, prefix + topic):
        if name in found:
            return found[name]
    known = ", ".join(name.removeprefix(prefix) for name in found)
    raise NoSchemaError(f"--topic {topic}: fleet {fleet.fleet} has no schema of it; there are: {known}")


def write_documents(found: dict[str, Schema], folder: Path) -> list[Path]:
    """Write each document to `<folder>/<name>.json`; return the files. Creates a missing folder. Raises NoSchemaError."""
    files = {folder / f"{name}.json": schema for name, schema in found.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, schema in files.items():
            file.write_text(json.dumps(schema, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as e:
        raise NoSchemaError(f"--out {folder}: cannot be written ({e.strerror}); name a folder that can") from None
    return list(files)
