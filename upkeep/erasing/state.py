"""Erases a device's state on the state topic: replaces the snapshot by the note that scorers write for a forgotten device.

Alerts of the device that fire are resolved. Because of the note, a restore does not put the device's earlier input into
state again. Compaction then deletes the topic's earlier records of the device. Once no restore can re-read that input, a
scorer deletes the note too.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from aimaas.admission.partitioner import partition_of
from aimaas.errors import KafkaError
from aimaas.fleet import FleetSpec
from aimaas.kafka import end_offsets, kafka_errors
from aimaas.records.alerts import FORGOTTEN, decode_saved
from aimaas.settings import Settings
from aimaas.topics import topic_names
from stream.alerts.episodes import outgoing, resolved
from stream.records.dead_letters import Header
from stream.records.exclusive_writer import ExclusiveWriter, Write
from stream.records.producing import Headers
from stream.state.log_reader import LogReader
from stream.state.records import device_record, packed_of, rules_record
from stream.state.saved import read_saved
from upkeep.growth.checks import check_nobody_scores, read_positions


class StateErased(NamedTuple):
    """`snapshots`: those that were (or would be) replaced; `scoring`: scorers run, which have their own memory."""

    snapshots: int
    scoring: bool


def forget_state(settings: Settings, fleet: FleetSpec, device: str, seen: bool, dry_run: bool) -> StateErased:
    """Replace the device's snapshot. If there is none but the device was `seen`, write a note all the same."""
    topic, key = topic_names(fleet).state, device.encode()
    with kafka_errors(settings, f"forget a device of fleet {fleet.fleet}"):
        positions = read_positions(settings, fleet, len(end_offsets(settings, topic)))
        with LogReader(settings) as reader:
            saved = read_saved(reader, topic, list(positions))
        ruled = [p for p, found in saved.items() if device in found.rules]
        holding = [p for p, found in saved.items() if packed_of(found.devices.get(key, b""))]
        home = partition_of(key, len(positions))
        noted = {home} if seen and key not in saved[home].devices and positions[home] else set()
        if not dry_run and (holding or noted or ruled):
            # after a person set the group back, snapshots are further than it, and a restore would skip a note that is not
            notes = [(p, device_record(device, max(positions[p], saved[p].newest))) for p in sorted({*holding, *noted})]
            with ExclusiveWriter(settings, fleet, "forget", "forget a device") as writer:
                writer.write([Write(topic, note.key, note.value, (), p) for p, note in notes])
                for p in ruled:
                    writer.write(_resolutions(fleet, p, device, saved[p].rules[device]))
        return StateErased(len(holding), _scoring(settings, fleet))


def _resolutions(fleet: FleetSpec, partition: int, device: str, saved: bytes) -> list[Write]:
    """Return the records that resolve the device's alerts, and the deletion of the state of its alert rules."""
    names, now = topic_names(fleet), datetime.now(UTC)
    open_alerts = [rule.alert for rule in decode_saved(device, saved).values() if rule.alert is not None]
    ended = [outgoing(resolved(alert, now, FORGOTTEN)) for alert in open_alerts]
    gone = rules_record(device, None)
    return [
        *(Write(names.alerts, key, value, _encoded(headers), partition) for key, value, headers in ended),
        Write(names.state, gone.key, gone.value, (), partition),
    ]


def _encoded(headers: Headers) -> list[Header]:
    return [(name, value.encode() if isinstance(value, str) else value) for name, value in headers or ()]


def _scoring(settings: Settings, fleet: FleetSpec) -> bool:
    try:
        check_nobody_scores(settings, fleet)
    except KafkaError:
        return True
    return False
