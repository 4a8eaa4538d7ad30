"""JSON Schema (draft 2020-12) of the structs that records are encoded from and decoded into."""

from __future__ import annotations

import inspect
from typing import Any

import msgspec

from aimaas.records.event_times import EXCLUDED, PATTERN, YEARS

Schema = dict[str, Any]

DRAFT = "https://json-schema.org/draft/2020-12/schema"


def time_schema(description: str = f"RFC 3339 with a zone, within {YEARS}") -> Schema:
    """Return the schema of a time. It has a pattern, because validators need not check formats, and formats allow leap seconds."""
    return {"type": "string", "pattern": PATTERN, "not": {"pattern": EXCLUDED}, "description": description}


def struct_schema(struct: type[msgspec.Struct], fleet: str | None = None) -> Schema:
    """Return the schema of one struct, without references. With `fleet` its key `fleet` must have this value.

    Unknown keys are allowed: a later release may add some.
    """
    _, components = msgspec.json.schema_components([struct], ref_template="{name}")
    made: Schema = dict(components[struct.__name__])
    info = msgspec.inspect.type_info(struct)
    assert isinstance(info, msgspec.inspect.StructType)  # noqa: S101 - that is what a struct is
    times = {
        f.encode_name: time_schema() for f in info.fields if isinstance(_bare(f.type), msgspec.inspect.DateTimeType)
    }
    made["properties"] = made["properties"] | times
    if fleet is not None:
        made["properties"]["fleet"] = {"const": fleet}
    return {**made, "description": inspect.cleandoc(struct.__doc__ or "")}


def union_schema(structs: tuple[type[msgspec.Struct], ...]) -> Schema:
    """Return the schema of a record that is one of several tagged structs."""
    return {"oneOf": [struct_schema(struct) for struct in structs]}


def _bare(info: msgspec.inspect.Type) -> msgspec.inspect.Type:
    return info.type if isinstance(info, msgspec.inspect.Metadata) else info
