"""Reads alerts: those that fire now, from the state topic, and the records of the alerts topic, as far back as retention goes."""

from __future__ import annotations

import msgspec

from aimaas.errors import KafkaError
from aimaas.fleet import FleetSpec
from aimaas.kafka import end_offsets, kafka_errors, read_all
from aimaas.records.alerts import Alert, decode_saved
from aimaas.settings import Settings
from aimaas.topics import topic_names
from stream.state.log_reader import LogReader
from stream.state.saved import read_saved

_decode = msgspec.json.Decoder(Alert).decode


def firing_alerts(settings: Settings, fleet: FleetSpec) -> list[Alert]:
    """Return the alerts that fire now, oldest first, also if retention has deleted their records. Raises KafkaError."""
    topic = topic_names(fleet).state
    with kafka_errors(settings, f"read {topic}"), LogReader(settings) as reader:
        saved = read_saved(reader, topic, list(end_offsets(settings, topic)))
    every = [decode_saved(device_id, value) for its in saved.values() for device_id, value in its.rules.items()]
    rules = [rule for its in every for rule in its.values()]
    return sorted(
        (rule.alert for rule in rules if rule.alert is not None), key=lambda alert: (alert.starts_at, alert.id)
    )


def alert_records(settings: Settings, fleet: FleetSpec) -> list[Alert]:
    """Return all records of the alerts topic, oldest first. Raises KafkaError."""
    found = [_decode(record.value or b"") for record in read_all(settings, topic_names(fleet).alerts)]
    return sorted(found, key=lambda alert: (alert.ends_at or alert.starts_at, alert.id))


def episode_of(settings: Settings, fleet: FleetSpec, alert_id: str) -> list[Alert]:
    """Return the records of one episode, the firing one first. Raises KafkaError if there is no such alert."""
    records = [alert for alert in alert_records(settings, fleet) if alert.alert_id == alert_id]
    known = {alert.id for alert in records}
    records += [a for a in firing_alerts(settings, fleet) if a.alert_id == alert_id and a.id not in known]
    if not records:
        raise KafkaError(
            f"no alert {alert_id!r} on {topic_names(fleet).alerts}: `aimaas alerts list --fleet {fleet.fleet} --all` lists all "
            "that retention has not deleted"
        )
    return sorted(records, key=lambda alert: alert.status)
