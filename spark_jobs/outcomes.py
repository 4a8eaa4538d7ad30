"""Decode outcomes: the same reasons as for events, where they apply."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from aimaas.admission import Reason
from aimaas.events import Outcome
from aimaas.fleet import FleetSpec

_DECODER = msgspec.json.Decoder(Outcome)


@dataclass(frozen=True)
class Refused:
    """Why a record is no outcome."""

    reason: Reason
    detail: str


def judge_outcomes(
    fleet: FleetSpec, keys: Sequence[bytes | None], values: Sequence[bytes | None]
) -> list[Outcome | Refused]:
    """Judge each record by itself: size, JSON, schema, fleet, key. Never raises for what is in a record."""
    return [_judge(fleet, key, value) for key, value in zip(keys, values, strict=True)]


def _judge(fleet: FleetSpec, key: bytes | None, value: bytes | None) -> Outcome | Refused:
    limit = fleet.limits.record_bytes
    if value is None:
        return Refused(Reason.UNPARSABLE, "the record has no value")
    if len(value) > limit:
        return Refused(Reason.OVERSIZED, f"{len(value)} bytes; allowed are {limit}")
    try:
        outcome = _DECODER.decode(value)
    except (ValueError, RecursionError) as e:  # msgspec's errors are ValueErrors
        return _why(fleet, value, e)
    if outcome.fleet != fleet.fleet:
        return _foreign(fleet, outcome.fleet)
    if key != outcome.device_id.encode():
        return Refused(
            Reason.KEY_MISMATCH, f"key {(key or b'')[:80]!r}, expected device_id {outcome.device_id!r} in UTF-8"
        )
    return outcome


def _why(fleet: FleetSpec, value: bytes, error: Exception) -> Refused:
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return Refused(Reason.UNPARSABLE, f"no JSON: {error}")
    named = found.get("fleet") if isinstance(found, dict) else None
    return (
        _foreign(fleet, named)
        if isinstance(named, str) and named != fleet.fleet
        else Refused(Reason.SCHEMA, str(error))
    )


def _foreign(fleet: FleetSpec, named: str) -> Refused:
    return Refused(Reason.WRONG_FLEET, f"fleet {named[:80]!r}, expected {fleet.fleet!r}")
