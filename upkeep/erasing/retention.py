"""Computes when Kafka will have deleted the remaining records of a device: per topic, from its settings and its newest record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from confluent_kafka import TopicPartition
from confluent_kafka.admin import ConfigResource, OffsetSpec

from aimaas.fleet import FleetSpec
from aimaas.kafka import ANSWER_LIMIT_S, admin, kafka_errors
from aimaas.settings import Settings
from aimaas.topics import topic_names, topic_specs

COMPACTED = "by compaction, after the segment is rolled"
NEVER = "never automatically: delete the records after they are landed, or shorten retention.ms"
BY_TIME = "by retention.ms and segment.ms"
_SET_BACK = "`aimaas topics create` and `aimaas up` set retention.ms back to"


@dataclass(frozen=True)
class Remains:
    """A topic that may hold records of the device: `newest` is the time of its newest record, None if it is empty.

    `gone_by` is the time when retention will have deleted all present records, None if it deletes nothing by time; `how` is
    the reason.
    """

    topic: str
    newest: datetime | None
    gone_by: datetime | None
    how: str


def remains(settings: Settings, fleet: FleetSpec) -> list[Remains]:
    """Return the keyed topics that may still hold records of a device, and until when. Raises KafkaError."""
    client, unkeyed = admin(settings), topic_names(fleet).unkeyed
    declared = {spec.name: spec.config.get("retention.ms") for spec in topic_specs(fleet) if spec.name not in unkeyed}
    with kafka_errors(settings, "ask the topics' retention"):
        known = client.list_topics(timeout=ANSWER_LIMIT_S).topics
        topics = [topic for topic in declared if topic in known]
        asked = {topic: ConfigResource(ConfigResource.Type.TOPIC, topic) for topic in topics}
        answers = client.describe_configs(list(asked.values()), request_timeout=ANSWER_LIMIT_S)
        configs = {r.name: {k: v.value for k, v in f.result(ANSWER_LIMIT_S).items()} for r, f in answers.items()}
        places = {TopicPartition(t, p): OffsetSpec.max_timestamp() for t in topics for p in known[t].partitions}
        found = client.list_offsets(places, request_timeout=ANSWER_LIMIT_S)
        times: dict[str, int] = {}
        for place, future in found.items():
            times[place.topic] = max(times.get(place.topic, -1), future.result(ANSWER_LIMIT_S).timestamp)
    return [remains_of(topic, times.get(topic, -1), configs[topic], declared[topic]) for topic in topics]


def remains_of(topic: str, newest_ms: int, config: Mapping[str, str], declared: str | None) -> Remains:
    """Return the statement about one topic with the settings `config`; `declared` is the retention.ms that aimaas sets.

    Kafka deletes whole segments once their newest record is older than retention.ms. A segment takes records for
    segment.ms. So records up to `newest` are deleted after both.
    """
    newest = None if newest_ms < 0 else datetime.fromtimestamp(newest_ms / 1e3, UTC)
    retention = int(config["retention.ms"]) if "delete" in config["cleanup.policy"] else None
    if newest is None:
        return Remains(topic, None, None, "empty")
    if retention is None:
        return Remains(topic, newest, None, COMPACTED)
    if retention < 0:
        return Remains(topic, newest, None, f"{NEVER}{_set_back(retention, declared)}")
    gone_by = newest + timedelta(milliseconds=retention + int(config["segment.ms"]))
    return Remains(topic, newest, gone_by, f"{BY_TIME}{_set_back(retention, declared)}")


def _set_back(retention_ms: int, declared: str | None) -> str:
    """Return what undoes a retention that a person has made shorter than the declared one, or is advised to."""
    if declared == "-1":
        return f"; {_SET_BACK} forever"
    if declared is not None and 0 <= retention_ms < int(declared):
        return f"; {_SET_BACK} {declared}"
    return ""
