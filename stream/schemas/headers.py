"""JSON Schema of the headers that aimaas writes, after their bytes are decoded as UTF-8."""

from __future__ import annotations

from aimaas.records.refusal_reasons import Reason
from stream.alerts.episodes import EVENT_TYPE as ALERT_TYPE
from stream.records.dead_letters import PREFIX, REPLAY_MAC, REPLAY_OF, TRUNCATED
from stream.records.predictions import BACKFILL_TYPE, EVENT_TYPE
from stream.schemas.structs import Schema, time_schema

_PLACE = "^.+/[0-9]+/[0-9]+$"


def prediction_headers(fleet: str) -> Schema:
    """Return the schema of a prediction's headers: CloudEvents in binary mode."""
    event = {"type": "string", "pattern": _PLACE, "description": "the event: topic/partition/offset"}
    return _cloud_event(fleet, [EVENT_TYPE, BACKFILL_TYPE], "when it was scored", event)


def alert_headers(fleet: str) -> Schema:
    """Return the schema of an alert's headers: CloudEvents in binary mode."""
    return _cloud_event(
        fleet, [ALERT_TYPE], "when it fired or resolved", {"type": "string", "description": "the record's id"}
    )


def _cloud_event(fleet: str, kinds: list[str], time: str, record: Schema) -> Schema:
    return _headers(
        {
            "ce_specversion": {"const": "1.0"},
            "ce_type": {"enum": kinds},
            "ce_source": {"const": f"/aimaas/{fleet}/scorer"},
            "ce_time": time_schema(time),
            "ce_id": record,
            "content-type": {"const": "application/json"},
        }
    )


def dead_letter_headers() -> Schema:
    """Return the schema of a dead letter's own headers: Kafka Connect's error headers, and the headers about cut parts."""
    reasons = [reason.label for reason in Reason if reason is not Reason.ADMITTED]
    made = _headers(
        {
            f"{PREFIX}topic": {"type": "string", "description": "label of the topic that the record was read from"},
            f"{PREFIX}partition": {"type": "string", "pattern": "^[0-9]+$"},
            f"{PREFIX}offset": {"type": "string", "pattern": "^[0-9]+$"},
            f"{PREFIX}exception.class.name": {"enum": reasons, "description": "why there is no prediction"},
            f"{PREFIX}exception.message": {
                "type": "string",
                "maxLength": 1_000,
                "description": "the reason in a sentence",
            },
        }
    )
    cut = {"type": "string", "description": "size and SHA-256 of what was there before the cut"}
    return made | {"patternProperties": {f"^{TRUNCATED.replace('.', '[.]')}(key|value|headers)$": cut}}


def replay_headers() -> Schema:
    """Return the schema of the headers of a dead letter that was sent again; an original has none of them."""
    made = _headers(
        {
            REPLAY_OF: {"type": "string", "pattern": _PLACE, "description": "the original: topic/partition/offset"},
            REPLAY_MAC: {"type": "string", "description": "the proof that a replay wrote it"},
        }
    )
    return {name: value for name, value in made.items() if name != "required"}


def _headers(properties: Schema) -> Schema:
    return {"type": "object", "required": list(properties), "properties": properties}
