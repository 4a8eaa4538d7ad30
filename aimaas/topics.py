"""Names and settings of a fleet's Kafka topics."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from aimaas.fleet import FleetSpec

_DAY_MS = 86_400_000

# groups of readers that commit no offsets: the client still asks for the coordinator of the group
READER_GROUP = "aimaas-reader"  # reads a topic once
RESTORE_GROUP = "aimaas-restore"  # reads ranges of offsets
MODELS_GROUP = "aimaas-models"  # follows the models topic


@dataclass(frozen=True)
class TopicNames:
    """The topics of one fleet."""

    events: str
    outcomes: str
    predictions: str
    alerts: str
    commands: str
    models: str
    state: str
    journal: str
    model_status: str

    @property
    def unkeyed(self) -> frozenset[str]:
        """The topics without records of devices: they have one partition, whatever `topics.partitions` says."""
        return frozenset({self.models, self.model_status, self.journal})

    @property
    def dead_letters(self) -> str:
        """The dead-letter topic of events."""
        return f"{self.events}.dlq"

    @property
    def outcome_dead_letters(self) -> str:
        """The dead-letter topic of outcomes that cannot be read."""
        return f"{self.outcomes}.dlq"


@dataclass(frozen=True)
class TopicSpec:
    """One topic to create."""

    name: str
    partitions: int
    replication: int
    config: Mapping[str, str]


def keeps_all(found: Mapping[str, str], declared: Mapping[str, str]) -> bool:
    """Whether a topic with the settings `found` loses no records, and refuses none that it accepts now, under the `declared` ones.

    A setting that `found` lacks is unknown to the cluster and has no effect.
    """
    old, new = found.get("cleanup.policy", "delete"), declared.get("cleanup.policy", "delete")
    if new != old and (old, new, declared.get("retention.ms")) != ("compact", "delete", "-1"):
        return False
    grows = ("max.message.bytes",) if new != old or new == "compact" else ("max.message.bytes", "retention.ms")
    return all(_size(found[name]) <= _size(declared[name]) for name in grows if name in declared and name in found)


def _size(value: str) -> float:
    """Milliseconds or bytes; -1 means unlimited."""
    return math.inf if value == "-1" else float(value)


def topic_of(label: str) -> str:
    """Kafka's name of the topic with this label; see `aimaas.admission.journal`."""
    return label.partition("@")[0]


def scorer_group(fleet: FleetSpec) -> str:
    """The consumer group of the fleet's scorers."""
    return f"aimaas-{fleet.fleet}"


def forwarding_group(fleet: FleetSpec, name: str) -> str:
    """The consumer group that forwards the fleet's alerts to the receiver `name`."""
    return f"aimaas-{fleet.fleet}-forward-{name}"


def topic_names(fleet: FleetSpec) -> TopicNames:
    """Names of the fleet's topics: `iot.<fleet>.<topic>`, unless the fleet file gives another name."""
    kinds = ("events", "outcomes", "predictions", "alerts", "commands", "models", "state", "journal", "model_status")
    given: Mapping[str, str] = {str(k): v for k, v in fleet.topics.names.items()}
    return TopicNames(**{kind: given.get(kind, f"iot.{fleet.fleet}.{kind}") for kind in kinds})


def largest_record(fleet: FleetSpec) -> int:
    """Bytes of the largest uncompressed record on the topics of events and outcomes; a compressed one may unpack to more."""
    return max(1_048_576, 2 * fleet.limits.record_bytes)


def topic_specs(fleet: FleetSpec) -> list[TopicSpec]:
    """All topics of the fleet with their settings.

    Events carry the broker's time (LogAppendTime): skew and eviction depend on it, so a replay gives the same verdicts. A dead
    letter holds the value and some headers, so its topic accepts slightly larger records than the events topic. With three
    replicas or more, `min.insync.replicas` is 2, so the loss of one broker loses no acknowledged record. With two replicas that
    would stop the fleet whenever a broker is down, so Kafka's default of 1 stays.
    """
    names, t = topic_names(fleet), fleet.topics
    largest = largest_record(fleet)
    kept = {"retention.ms": str(int(t.retention_days * _DAY_MS)), "cleanup.policy": "delete"}
    forever = {"cleanup.policy": "delete", "retention.ms": "-1"}
    stamped = {**kept, "message.timestamp.type": "LogAppendTime"}
    safe = {"min.insync.replicas": "2"} if t.replication >= 3 else {}
    compacted = {"cleanup.policy": "compact", "segment.ms": "600000", "min.cleanable.dirty.ratio": "0.2"}

    def spec(name: str, config: Mapping[str, str], partitions: int = t.partitions) -> TopicSpec:
        return TopicSpec(name, partitions, t.replication, {**config, **safe})

    return [
        spec(names.events, {**stamped, "max.message.bytes": str(largest)}),
        spec(names.outcomes, {**stamped, "retention.ms": "-1"}),
        spec(names.predictions, kept),
        spec(names.alerts, kept),
        spec(names.commands, kept),
        spec(names.models, forever, 1),  # not compacted: a later record could remove the champion's
        spec(names.model_status, compacted, 1),
        spec(names.state, compacted),
        spec(names.journal, forever, 1),
        spec(names.dead_letters, {**kept, "max.message.bytes": str(largest + 65_536)}),
        spec(names.outcome_dead_letters, {**kept, "max.message.bytes": str(largest + 65_536)}),
    ]
