"""The topic `iot.<fleet>.model_status`: the reactions of scorers and the HTTP service to announced models.

One partition, compacted, key `<version>/<instance>`: the newest status of each version by each instance. Records about skipped
announcements have the key `passed_over/<instance>`, so that a forged record takes no version's place. The topic is for information
only; no decision depends on it.
"""

from __future__ import annotations

import msgspec

from aimaas.fleet import FleetSpec
from aimaas.kafka import read_all
from aimaas.records.events import ModelStatus
from aimaas.settings import Settings
from aimaas.topics import topic_names

_decoder = msgspec.json.Decoder(ModelStatus)


def key_of(status: ModelStatus) -> bytes:
    """The key of a status record."""
    what = "passed_over" if status.state == "passed_over" else status.version
    return f"{what}/{status.instance}".encode()


def statuses(settings: Settings, fleet: FleetSpec) -> list[ModelStatus]:
    """The newest status of each version by each scorer, oldest first; unreadable records are left out. Raises KafkaError."""
    newest = {record.key: record.value for record in read_all(settings, topic_names(fleet).model_status)}
    found = [status for value in newest.values() if value and (status := _decoded(value))]
    return sorted(found, key=lambda status: status.at)


def refusals(settings: Settings, fleet: FleetSpec) -> list[ModelStatus]:
    """The newest statuses that say why an announced model does not serve. Raises KafkaError."""
    return [status for status in statuses(settings, fleet) if status.state != "serves"]


def _decoded(value: bytes) -> ModelStatus | None:
    try:
        return _decoder.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
