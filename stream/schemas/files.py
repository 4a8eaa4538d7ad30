"""Which schemas somebody asked for, and their files."""

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
    """There is no schema of what was asked for, or it cannot be written."""


def all_documents(fleets: Sequence[FleetSpec]) -> dict[str, Schema]:
    """The JSON Schemas of these fleets by topic, and of each fleet the AsyncAPI document `<fleet>.asyncapi`."""
    found = {f"{fleet.fleet}.asyncapi": asyncapi(fleet) for fleet in fleets}
    return found | {name: schema for fleet in fleets for name, schema in schemas(fleet).items()}


def one_schema(fleet: FleetSpec, topic: str) -> Schema:
    """The schema of the fleet's `topic`, named in full or without `iot.<fleet>.`. Raises NoSchemaError with the names there are."""
    found, prefix = schemas(fleet), f"iot.{fleet.fleet}."
    for name in (topic, prefix + topic):
        if name in found:
            return found[name]
    known = ", ".join(name.removeprefix(prefix) for name in found)
    raise NoSchemaError(f"--topic {topic}: fleet {fleet.fleet} has no schema of it; there are: {known}")


def write_documents(found: dict[str, Schema], folder: Path) -> list[Path]:
    """Write each to `<folder>/<name>.json`; the files. The folder is made where it is not there. Raises NoSchemaError."""
    files = {folder / f"{name}.json": schema for name, schema in found.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, schema in files.items():
            file.write_text(json.dumps(schema, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as e:
        raise NoSchemaError(f"--out {folder}: cannot be written ({e.strerror}); name a folder that can") from None
    return list(files)
