"""The records on the topics, as typed values, and their JSON form.

Keys are device ids in UTF-8. Times are RFC 3339 with a zone.
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, Literal

import msgspec

from aimaas.fleet import FleetSpec
from aimaas.records import event_times

CHAMPION = "champion"  # the alias of the serving model
MAX_SEQUENCE = 2**31 - 1  # of announcements: more than any number of promotions
MAX_RUN = 2**31 - 1
MAX_SEQ = 2**53 - 1  # the largest integer that every JSON parser keeps exact

DeviceId = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
Run = Annotated[int, msgspec.Meta(ge=0, le=MAX_RUN)]
Seq = Annotated[int, msgspec.Meta(ge=0, le=MAX_SEQ)]
Time = Annotated[datetime, msgspec.Meta(tz=True)]
Short = Annotated[str, msgspec.Meta(max_length=64)]

OutcomeKind = Literal["failed", "repaired", "retired"]


class Outcome(msgspec.Struct, frozen=True):
    """The end of a device's life: a failure, a repair or a retirement. `mode` names the failure mode if it is known."""

    fleet: str
    device_id: DeviceId
    seq: Seq
    ts: Time
    kind: OutcomeKind
    run: Run = 0
    mode: str | None = None


class Prediction(msgspec.Struct, frozen=True, omit_defaults=True):
    """The scorer's prediction for one event; it has `lower` and `upper` if the model has intervals."""

    fleet: str
    device_id: str
    run: int
    seq: int
    ts: datetime
    prediction: float
    unit: str
    model_version: str
    scored_at: datetime
    lower: float | None = None
    upper: float | None = None


class Announcement(msgspec.Struct, frozen=True, omit_defaults=True):
    """The model that an alias names now. `sequence` only rises, also at a rollback. `sha256` belongs to the file at `uri`.

    `signature` covers all other fields and the fleet (`aimaas.registry.signatures`); it is empty if the announcer has no key.
    """

    alias: Short
    version: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    sequence: Annotated[int, msgspec.Meta(ge=0, le=MAX_SEQUENCE)]
    uri: Annotated[str, msgspec.Meta(min_length=1, max_length=2_048)]
    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
    plan: Short
    fit: Short
    at: Time
    signature: Annotated[str, msgspec.Meta(max_length=128)] = ""


State = Literal["serves", "refused", "unreachable", "passed_over"]


class ModelStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """The reaction of the scorer `instance` to the announcement `sequence`.

    `serves`: the scorer serves the version from now on. `refused`: the scorer does not serve it and keeps its model.
    `unreachable`: the file could not be fetched, and the scorer tries again. `passed_over`: the record on the models topic cannot
    be trusted. `reason` says why.
    """

    version: str
    sequence: int
    instance: str
    state: State
    at: Time
    reason: str = ""


@lru_cache(maxsize=64)
def event_type(
    readings: tuple[str, ...],
    order: str,
    nullable: frozenset[str] | None = None,
    optional: frozenset[str] = frozenset(),
) -> type[msgspec.Struct]:
    """The struct of one event: fleet, device_id, ts, readings, run and seq (with `order: ts`, seq may be left out).

    Readings are numbers or null; the judge decides later which of them may be null, with a reason of its own. Unknown keys are
    ignored, so a device may send more than the fleet file declares. If `nullable` is given, only those readings may be null,
    which decodes a third faster. Readings in `optional` may be left out, which means null.
    """
    values = readings_type(readings, nullable, optional)
    fields: list[Any] = [("fleet", str), ("device_id", DeviceId), ("ts", Time), ("readings", values)]
    fields += [("seq", Seq)] if order == "seq" else [("seq", Seq, 0)]
    return msgspec.defstruct("Event", [*fields, ("run", Run, 0)], gc=False, frozen=True)


def readings_type(
    readings: tuple[str, ...], nullable: frozenset[str] | None, optional: frozenset[str] = frozenset()
) -> type[msgspec.Struct]:
    """The struct of an event's readings; only `nullable` ones may be null, or all if it is None; see `event_type`."""
    kinds: list[Any] = [(n, float | None if nullable is None or n in nullable else float) for n in readings]
    fields = [(n, kind, None) if n in optional else (n, kind) for n, kind in kinds]
    return msgspec.defstruct("Readings", fields, gc=False, frozen=True, kw_only=True)


def encode_event(
    fleet: str, device_id: str, run: int, seq: int, ts: datetime, readings: dict[str, float | None]
) -> bytes:
    """Encode one event as JSON, with the keys in the order of the documentation."""
    return msgspec.json.encode(
        {"fleet": fleet, "device_id": device_id, "run": run, "seq": seq, "ts": ts, "readings": readings}
    )


def event_schema(fleet: FleetSpec) -> dict[str, Any]:
    """JSON Schema (2020-12) of the fleet's events, for producers: admission refuses an event that does not match it.

    The schema does not cover the record's size, nesting and key, derived channels, and earlier records. Times have a pattern
    instead of a format, because validators need not check formats, and formats allow leap seconds.
    """
    readings = {
        name: {
            "type": ["number", "null"] if r.nullable else "number",
            "minimum": r.range[0],
            "maximum": r.range[1],
            "description": f"{r.name} [{r.unit}]",
        }
        for name, r in zip(fleet.readings, fleet.reading_specs, strict=True)
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"event of fleet {fleet.fleet}",
        "type": "object",
        "required": ["fleet", "device_id", "ts", "readings", *(["seq"] if fleet.order == "seq" else [])],
        "properties": {
            "fleet": {"const": fleet.fleet},
            "device_id": {"type": "string", "minLength": 1, "maxLength": 128},
            "run": {"type": "integer", "minimum": 0, "maximum": MAX_RUN, "default": 0},
            "seq": {"type": "integer", "minimum": 0, "maximum": MAX_SEQ},
            "ts": {
                "type": "string",
                "pattern": event_times.PATTERN,
                "not": {"pattern": event_times.EXCLUDED},
                "description": f"RFC 3339 with a zone, within {event_times.YEARS}",
            },
            "readings": {
                "type": "object",
                "required": [n for n in fleet.readings if n not in fleet.nullable],
                "properties": readings,
            },
        },
    }
