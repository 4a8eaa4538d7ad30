"""Exports the predictions of a fleet to SQL: once, or continuously."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from aimaas.fleet import FleetSpec
from aimaas.kafka import begin_offsets, end_offsets
from aimaas.kafka.topic_ids import topic_ids
from aimaas.logs import logger
from aimaas.settings import Settings
from aimaas.topics import topic_names
from stream.export.database import Database, ExportError
from stream.export.reading import portions
from stream.export.tables import OFFSETS

_PAUSE_S = 1.0  # between two reads of new predictions

log = logger("export")


@dataclass
class Exported:
    """How many predictions were written, and how many records were no predictions."""

    predictions: int = 0
    strange: int = 0


def export(
    settings: Settings,
    fleet: FleetSpec,
    url: str,
    follow: bool = False,
    accept_loss: bool = False,
    stop: threading.Event | None = None,
) -> Exported:
    """Write all predictions that are not exported yet; with `follow` continue until `stop` is set.

    Each read looks up the topic and its number of partitions again. The export of a topic that was created again begins at
    its first record. `accept_loss` continues if retention has deleted predictions before their export. Raises ExportError
    and KafkaError.
    """
    stop, total = stop or threading.Event(), Exported()
    while True:
        _look(settings, fleet, url, accept_loss, stop, total)
        if not follow or stop.wait(_PAUSE_S):
            return total


def _look(
    settings: Settings, fleet: FleetSpec, url: str, accept_loss: bool, stop: threading.Event, total: Exported
) -> None:
    topic = topic_names(fleet).predictions
    database = Database(url, topic, topic_ids(settings, [topic])[topic])
    try:
        known, first, end = database.offsets(), begin_offsets(settings, topic), end_offsets(settings, topic)
        _check_loss(topic, known, first, accept_loss)
        _check_end(topic, known, end)
        begin = {p: max(known.get(p, 0), first[p]) for p in first}
        for portion in portions(settings, topic, begin, end):
            database.write(portion.rows, {p: known[p] for p in portion.offsets if p in known}, portion.offsets)
            known |= portion.offsets
            total.predictions += len(portion.rows)
            total.strange += portion.strange
            if stop.is_set():
                return
    finally:
        database.close()


def _check_end(topic: str, known: dict[int, int], end: dict[int, int]) -> None:
    """Raise ExportError if the topic is shorter than the export: new predictions would take offsets that count as exported."""
    for p, offset in sorted(known.items()):
        if offset > end.get(p, offset):
            remedy = f"DELETE FROM {OFFSETS.name} WHERE topic = '{topic}'"  # noqa: S608 - for a person
            raise ExportError(
                f"{topic}, partition {p} ends at offset {end[p]}, but {offset} were exported: Kafka was restored from a backup, "
                f"or lost its newest records. Export all of it again, which stores nothing twice: {remedy}"
            )


def _check_loss(topic: str, known: dict[int, int], first: dict[int, int], accept_loss: bool) -> None:
    """Raise ExportError if retention deleted predictions before their export; with `accept_loss`, log it."""
    for p, offset in sorted(known.items()):
        if offset >= first.get(p, 0):
            continue
        gone = f"{topic}, partition {p}: offsets {offset} to {first[p] - 1} were deleted before they were exported"
        if not accept_loss:
            raise ExportError(f"{gone}; continue without them with --accept-loss, and increase topics.retention_days")
        log.error(gone)
