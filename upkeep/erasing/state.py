"""Erases a device's state on the state topic: replaces the snapshot by the note that scorers write for a forgotten device.

Because of the note, a restore does not put the device's earlier input into state again. Compaction then deletes the topic's
earlier records of the device. Once no restore can re-read that input, a scorer deletes the note too.
"""

from __future__ import annotations

from typing import NamedTuple

from aimaas.admission.partitioner import partition_of
from aimaas.errors import KafkaError
from aimaas.fleet import FleetSpec
from aimaas.kafka import end_offsets, kafka_errors
from aimaas.settings import Settings
from aimaas.topics import topic_names
from stream.records.exclusive_writer import ExclusiveWriter, Write
from stream.state.log_reader import LogReader
from stream.state.records import device_record, packed_of
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
        holding = [p for p, found in saved.items() if packed_of(found.devices.get(key, b""))]
        home = partition_of(key, len(positions))
        noted = {home} if seen and key not in saved[home].devices and positions[home] else set()
        if not dry_run and (holding or noted):
            # after a person set the group back, snapshots are further than it, and a restore would skip a note that is not
            notes = [(p, device_record(device, max(positions[p], saved[p].newest))) for p in sorted({*holding, *noted})]
            with ExclusiveWriter(settings, fleet, "forget", "forget a device") as writer:
                writer.write([Write(topic, note.key, note.value, (), p) for p, note in notes])
        return StateErased(len(holding), _scoring(settings, fleet))


def _scoring(settings: Settings, fleet: FleetSpec) -> bool:
    try:
        check_nobody_scores(settings, fleet)
    except KafkaError:
        return True
    return False
