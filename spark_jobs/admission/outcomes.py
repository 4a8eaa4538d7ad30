"""Decodes outcomes, and refuses them for the same reasons as events, where these apply."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from aimaas.admission.judge import Reason
from aimaas.fleet import FleetSpec
from aimaas.records import plain_json
from aimaas.records.event_times import YEARS, is_allowed
from aimaas.records.events import Outcome
from aimaas.records.nesting import DEEPEST, is_too_deep

_DECODER = msgspec.json.Decoder(Outcome)


@dataclass(frozen=True)
class Refused:
    """The reason why a record is no outcome."""

    reason: Reason
    detail: str


def judge_outcomes(
    fleet: FleetSpec, keys: Sequence[bytes | None], values: Sequence[bytes | None]
) -> list[Outcome | Refused]:
    """Judge each record by itself: size, JSON, schema, fleet, key. No content of a record raises an error."""
    return [_judge(fleet, key, value) for key, value in zip(keys, values, strict=True)]


def _judge(fleet: FleetSpec, key: bytes | None, value: bytes | None) -> Outcome | Refused:
    limit = fleet.limits.record_bytes
    if value is None:
        return Refused(Reason.UNPARSABLE, "the record has no value")
    if len(value) > limit:
        return Refused(Reason.OVERSIZED, f"{len(value)} bytes; allowed are {limit}")
    if is_too_deep(value):
        return Refused(Reason.UNPARSABLE, f"nested deeper than {DEEPEST}")
    try:
        outcome = _DECODER.decode(value)
    except (ValueError, RecursionError) as e:  # msgspec's errors are ValueErrors
        found = _read_slowly(fleet, value, e)
        if isinstance(found, Refused):
            return found
        outcome = found
    return _refusal_of(fleet, key, outcome) or outcome


def _refusal_of(fleet: FleetSpec, key: bytes | None, outcome: Outcome) -> Refused | None:
    if outcome.fleet != fleet.fleet:
        return _foreign(fleet, outcome.fleet)
    if not is_allowed(outcome.ts):
        return Refused(Reason.SCHEMA, f"its time {outcome.ts.isoformat()} is not within {YEARS}")
    if key != outcome.device_id.encode():
        return Refused(
            Reason.KEY_MISMATCH, f"key {(key or b'')[:80]!r}, expected device_id {outcome.device_id!r} in UTF-8"
        )
    return None


def _read_slowly(fleet: FleetSpec, value: bytes, error: Exception) -> Outcome | Refused:
    """The outcome in a record that the decoder refuses, read like an event (`parsing.py`), or the reason why it is none."""
    try:
        found = plain_json.parse(value)
    except (ValueError, RecursionError):
        return Refused(Reason.UNPARSABLE, f"no JSON: {error}")
    if not isinstance(found, dict):
        return Refused(Reason.SCHEMA, f"a JSON {type(found).__name__}, expected an object")
    if isinstance(named := found.get("fleet"), str) and named != fleet.fleet:
        return _foreign(fleet, named)
    try:
        outcome = msgspec.convert(plain_json.members(found, Outcome.__struct_fields__), Outcome)
        msgspec.json.encode(outcome)  # raises for half a surrogate pair, which JSON can contain
    except ValueError as e:
        return Refused(Reason.SCHEMA, str(e))
    return outcome


def _foreign(fleet: FleetSpec, named: str) -> Refused:
    return Refused(Reason.WRONG_FLEET, f"fleet {named[:80]!r}, expected {fleet.fleet!r}")
