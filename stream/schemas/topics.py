"""The contracts of a fleet's topics: one `Contract` a topic, made from the fleet file and the records' structs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from aimaas.admission.journal import Gap, TopicSeen
from aimaas.admission.rule_log import Claim, Rejudged, RulesFrom
from aimaas.fleet import FleetSpec
from aimaas.records.alerts import Alert
from aimaas.records.events import CHAMPION, Announcement, ModelStatus, Outcome, Prediction, event_schema
from aimaas.topics import topic_names
from stream.schemas.headers import alert_headers, dead_letter_headers, prediction_headers, replay_headers
from stream.schemas.structs import DRAFT, Schema, struct_schema, union_schema

Direction = Literal["receive", "send"]  # from aimaas's side

_DEVICE = {"type": "string", "minLength": 1, "maxLength": 128, "description": "the device id in UTF-8"}
_JOURNAL = (TopicSeen, Gap, RulesFrom, Claim, Rejudged)


@dataclass(frozen=True)
class Contract:
    """The contract of a topic's records.

    `payload` is the schema of the value, None if the value is no JSON. `headers` is the schema of the decoded headers, None
    if they mean nothing. Without a `direction` nothing writes to the topic in this release, and its records have no
    contract.
    """

    kind: str
    topic: str
    summary: str
    direction: Direction | None = None
    key: Schema | None = None
    payload: Schema | None = None
    headers: Schema | None = None

    def schemas(self) -> dict[str, Schema]:
        """Return the JSON Schemas by name: the topic's name for values, the same with `.headers` for headers."""
        made = {self.topic: self.payload, f"{self.topic}.headers": self.headers}
        return {name: {"$schema": DRAFT, **found, "title": name} for name, found in made.items() if found is not None}


def contracts(fleet: FleetSpec) -> list[Contract]:
    """Return the contracts of all topics of the fleet."""
    return [*_inputs(fleet), *_answers(fleet), *_own(fleet), *_reserved(fleet)]


def schemas(fleet: FleetSpec) -> dict[str, Schema]:
    """Return the JSON Schemas by name, of all topics with a schema."""
    return {name: found for contract in contracts(fleet) for name, found in contract.schemas().items()}


def _inputs(fleet: FleetSpec) -> Iterator[Contract]:
    names = topic_names(fleet)
    event = {name: value for name, value in event_schema(fleet).items() if name not in ("$schema", "title")}
    yield Contract("events", names.events, "what devices measure", "receive", _DEVICE, event, replay_headers())
    outcome = struct_schema(Outcome, fleet.fleet)
    yield Contract("outcomes", names.outcomes, "what became of devices", "receive", _DEVICE, outcome)


def _answers(fleet: FleetSpec) -> Iterator[Contract]:
    names, headers = topic_names(fleet), prediction_headers(fleet.fleet)
    prediction = struct_schema(Prediction, fleet.fleet)
    yield Contract(
        "predictions",
        names.predictions,
        "one record for each event that is answered",
        "send",
        _DEVICE,
        prediction,
        headers,
    )
    yield Contract(
        "alerts", names.alerts, "one record when an alert rule fires on a device, and one when it resolves", "send", _DEVICE,
        struct_schema(Alert, fleet.fleet), alert_headers(fleet.fleet),
    )  # fmt: skip
    yield Contract(
        "dead_letters", names.dead_letters, "events without a prediction: the record as it came, cut where it is large",
        "send", {"description": "the record's key, whatever it is"}, None, dead_letter_headers(),
    )  # fmt: skip


def _own(fleet: FleetSpec) -> Iterator[Contract]:
    names = topic_names(fleet)
    yield Contract(
        "models",
        names.models,
        "which model the alias champion means",
        "send",
        {"const": CHAMPION},
        struct_schema(Announcement),
    )
    yield Contract(
        "model_status", names.model_status, "what scorers did with announced models", "send",
        {"type": "string", "pattern": "^.+/.+$", "description": "version or passed_over, /, instance"}, struct_schema(ModelStatus),
    )  # fmt: skip
    yield Contract(
        "journal", names.journal, "what readers must know to read the topics as the scorer did", "send",
        {"type": "string", "description": "the topic that the entry is about"}, union_schema(_JOURNAL),
    )  # fmt: skip
    yield Contract(
        "state", names.state, "the scorers' own: binary, of one release, read by nobody else", "send",
        {"description": "a device id, or a byte 255 and the name of a note of the scorer"},
    )  # fmt: skip


def _reserved(fleet: FleetSpec) -> Iterator[Contract]:
    names = topic_names(fleet)
    reserved = {"commands": names.commands, "outcome_dead_letters": names.outcome_dead_letters}
    for kind, topic in reserved.items():
        yield Contract(kind, topic, "reserved: nothing writes to it in this release")
