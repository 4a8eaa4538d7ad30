"""The present topics of the fleet, and the landed records of earlier topics with the same names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from aimaas.admission.journal import MADE_ANEW, Gap, Journal, append_to_journal, note_topics
from aimaas.fleet import FleetSpec
from aimaas.kafka.topic_ids import topic_ids
from aimaas.kafka.topic_watch import check_id
from aimaas.lake import Offsets
from aimaas.settings import Settings
from aimaas.topics import topic_names, topic_of


@dataclass(frozen=True)
class LandedTopics:
    """The topics of events and outcomes: their ids by name, and the fleet's journal, which knows earlier topics."""

    ids: Mapping[str, str]
    journal: Journal

    def label(self, topic: str) -> str:
        """The label of the topic in the lake."""
        return self.journal.label(topic, self.ids[topic])

    def labelled(self, offsets: Offsets) -> Offsets:
        """Offsets by label, given offsets by Kafka's topic name."""
        return {(self.label(topic), p): offset for (topic, p), offset in offsets.items()}

    def check(self, settings: Settings) -> None:
        """Raise TopicMadeAnewError if one of the topics has been created again since."""
        for topic, found in topic_ids(settings, list(self.ids)).items():
            check_id(topic, self.ids[topic], found)

    def left_behind(self, landed: Offsets, now: datetime) -> list[Gap]:
        """A gap for each partition of a deleted topic, because the records that it held after the landed ones are unknown."""
        told = {(gap.topic, gap.partition) for gap in self.journal.gaps if gap.by == "land" and gap.last is None}
        gone = [label for topic in self.ids for label in self.journal.labels(topic) if label != self.label(topic)]
        places = {(label, p) for label in gone for p in _partitions(landed, label)}
        return [Gap(*at, landed.get(at, 0), None, MADE_ANEW, "land", now) for at in sorted(places - told)]


def find_topics(settings: Settings, fleet: FleetSpec, now: datetime) -> LandedTopics:
    """Ask Kafka, and note new topic ids in the journal. Raises KafkaError."""
    names = topic_names(fleet)
    journal = note_topics(settings, fleet, [names.events, names.outcomes], now)
    return LandedTopics({topic: journal.ids[topic][-1] for topic in (names.events, names.outcomes)}, journal)


def tell_left_behind(
    settings: Settings, fleet: FleetSpec, topics: LandedTopics, landed: Offsets, now: datetime
) -> dict[str, int]:
    """Note in the journal, once, the end of the landed part of deleted topics; return first gap offsets by `label/partition`."""
    gaps = topics.left_behind(landed, now)
    append_to_journal(settings, fleet, gaps)
    return {f"{gap.topic}/{gap.partition}": gap.first for gap in gaps}


def kafka_names(offsets: Offsets) -> Offsets:
    """Offsets by Kafka's topic name, given offsets by label."""
    return {(topic_of(label), p): offset for (label, p), offset in offsets.items()}


def label_column(labels: Iterable[str]) -> str:
    """Spark's SQL for the label of a Kafka record, whose column `topic` has the name."""
    other = {topic_of(label): label for label in labels if topic_of(label) != label}
    cases = " ".join(f"WHEN '{topic}' THEN '{label}'" for topic, label in sorted(other.items()))
    return f"CASE topic {cases} ELSE topic END AS topic" if cases else "topic"


def _partitions(landed: Offsets, label: str) -> list[int]:
    """The known partitions of a deleted topic: the landed ones, or the first one."""
    return [p for at, p in landed if at == label] or [0]
