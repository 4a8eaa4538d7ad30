"""Finds a device's records that the lake has not judged yet: they are noted before they land, so that they never land."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime

from aimaas.admission.journal import label_now
from aimaas.fleet import FleetSpec
from aimaas.kafka import end_offsets, kafka_errors
from aimaas.lake import Offsets
from aimaas.lake.erased_records import Place
from aimaas.settings import Settings
from aimaas.topics import topic_names
from stream.state.log_reader import LogReader

IsOf = Callable[[bytes | None, bytes | None], bool]


def waiting_records(settings: Settings, fleet: FleetSpec, judged: Offsets, is_of: IsOf) -> dict[Place, date]:
    """Return coordinates and days of the device's records from the `judged` offsets on; `is_of` (key, value) recognises them."""
    names, found = topic_names(fleet), {}
    with LogReader(settings, fleet) as reader:
        for topic in (names.events, names.outcomes):
            label = label_now(settings, fleet, topic)
            with kafka_errors(settings, f"read {topic}"):
                spans = reader.spans(topic, end_offsets(settings, topic))
                rest = {p: s._replace(begin=max(s.begin, judged.get((label, p), 0))) for p, s in spans.items()}
                for p, messages in reader.read(topic, rest):
                    for m in (m for m in messages if is_of(m.key(), m.value())):
                        found[label, p, m.offset()] = datetime.fromtimestamp(m.timestamp()[1] / 1e3, UTC).date()
    return found
