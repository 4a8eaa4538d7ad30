"""The records on the topics, as typed values, and their one JSON form.

Keys are device ids in UTF-8. Times are RFC 3339 with a zone.
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, Literal

import msgspec

from aimaas.fleet import FleetSpec
from aimaas.records import event_times

CHAMPION = "champion"  # the alias of the model that serves
MAX_SEQUENCE = 2**31 - 1  # of announcements: more than anybody promotes
MAX_RUN = 2**31 - 1
MAX_SEQ = 2**53 - 1  # the largest integer that every JSON reader keeps exact

DeviceId = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
Run = Annotated[int, msgspec.Meta(ge=0, le=MAX_RUN)]
Seq = Annotated[int, msgspec.Meta(ge=0, le=MAX_SEQ)]
Time = Annotated[datetime, msgspec.Meta(tz=True)]
Short = Annotated[str, msgspec.Meta(max_length=64)]

OutcomeKind = Literal["failed", "repaired", "retired"]


class Outcome(msgspec.Struct, frozen=True):
    """What became of a device: the end of a run, or its repair. `mode` names the failure mode where it is known."""

    fleet: str
    device_id: DeviceId
    seq: Seq
    ts: Time
    kind: OutcomeKind
    run: Run = 0
    mode: str | None = None


class Prediction(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the scorer says of one event; `lower` and `upper` are there once the model has intervals."""

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
    """Which model an alias means now; `sequence` only rises, also at a rollback. `sha256` is that of the file at `uri`.

    `signature` covers all other fields and the fleet (`aimaas.registry.signatures`); empty where the announcer has no key.
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
    """What scorer `instance` did with what was announced as `sequence`.

    `serves`: it answers from now on. `refused`: it would not serve it, and what it had serves on. `unreachable`: it could not be
    fetched, and is tried again. `passed_over`: the record on the
    models topic is not to be trusted. `reason` says why.
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

    Readings are numbers or null; which of them may be null is judged later, with a reason of its own. Unknown keys are
    passed over, so that a device may send more than the fleet file asks for. Where `nullable` is given, only
    those readings may be null, which decodes a third faster. `optional` ones may be left out, which says null.
    """
    values = readings_type(readings, nullable, optional)
    fields: list[Any] = [("fleet", str), ("device_id", DeviceId), ("ts", Time), ("readings", values)]
    fields += [("seq", Seq)] if order == "seq" else [("seq", Seq, 0)]
    return msgspec.defstruct("Event", [*fields, ("run", Run, 0)], gc=False, frozen=True)


def readings_type(
    readings: tuple[str, ...], nullable: frozenset[str] | None, optional: frozenset[str] = frozenset()
) -> type[msgspec.Struct]:
    """The struct of an event's readings; only `nullable` ones may be null, or all where that is None; see `event_type`."""
    kinds: list[Any] = [(n, float | None if nullable is None or n in nullable else float) for n in readings]
    fields = [(n, kind, None) if n in optional else (n, kind) for n, kind in kinds]
    return msgspec.defstruct("Readings", fields, gc=False, frozen=True, kw_only=True)


def encode_event(
    fleet: str, device_id: str, run: int, seq: int, ts: datetime, readings: dict[str, float | None]
) -> bytes:
    """One event as JSON, keys in the order of the documentation."""
    return msgspec.json.encode(
        {"fleet": fleet, "device_id": device_id, "run": run, "seq": seq, "ts": ts, "readings": readings}
    )


def event_schema(fleet: FleetSpec) -> dict[str, Any]:
    """JSON Schema (2020-12) of the fleet's events, for producers: admission decodes what it allows, and refuses all other.

    What a value alone cannot show is not the schema's: the record's size, nesting and key, derived channels, and what came before.
    Times have a pattern instead of a format: formats need not be checked, and allow leap seconds.
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
