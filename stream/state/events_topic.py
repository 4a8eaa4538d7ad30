"""The identity of a fleet's events topic: the topic that Kafka now holds under its name."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from aimaas.admission.journal import Journal, note_topics
from aimaas.fleet import FleetSpec
from aimaas.settings import Settings
from aimaas.topics import topic_names


class EventsTopic(NamedTuple):
    """A fleet's events topic: its `id`, and the ids of all topics that ever had its name, oldest first.

    See `aimaas.admission.journal`.
    """

    name: str
    id: str
    journal: Journal

    @property
    def label(self) -> str:
        """The first part of its records' coordinates."""
        return self.journal.label(self.name, self.id)

    @property
    def first_id(self) -> str:
        """The id of the first topic with this name."""
        return self.journal.ids[self.name][0]


def find_events_topic(settings: Settings, fleet: FleetSpec, now: datetime) -> EventsTopic:
    """Ask Kafka for the topic, and add an unknown topic id to the journal. Raises KafkaError."""
    name = topic_names(fleet).events
    journal = note_topics(settings, fleet, [name], now)
    return EventsTopic(name, journal.ids[name][-1], journal)
