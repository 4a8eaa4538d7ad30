"""Topic settings that promises depend on, compared with the settings of the existing topics.

`aimaas topics create` sets them, but a topic may have been created by other means, or changed since. Other settings, such as the
retention of events, may be changed freely.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaError as ClientError
from confluent_kafka import KafkaException
from confluent_kafka.admin import ConfigResource

from aimaas.errors import KafkaError
from aimaas.fleet import FleetSpec
from aimaas.kafka.clients import ANSWER_LIMIT_S, admin, kafka_errors
from aimaas.kafka.tools import config_command
from aimaas.logs import logger
from aimaas.settings import Settings
from aimaas.topics import TopicSpec, topic_names, topic_specs

log = logger("topics")

_WHY = {
    "message.timestamp.type": "skew, silence and days are measured by the broker's time",
    "cleanup.policy": "records must be kept forever, and state must not be deleted by age",
    "retention.ms": "records must be kept forever",
    "max.message.bytes": "larger records could not be written",
    "min.insync.replicas": "a prediction on only one broker can be lost with that broker",
}
_DENIED = (ClientError.TOPIC_AUTHORIZATION_FAILED, ClientError.CLUSTER_AUTHORIZATION_FAILED)


def check_settings(settings: Settings, fleet: FleetSpec, topics: Collection[str] | None = None) -> None:
    """Raise KafkaError with a line for each of these topics (default: all of the fleet) whose settings break a promise.

    Topics that do not exist are skipped. If the ACLs do not allow the check, that is logged.
    """
    specs = [s for s in topic_specs(fleet) if topics is None or s.name in topics]
    client = admin(settings)
    with kafka_errors(settings, "read the settings of the topics"):
        known = client.list_topics(timeout=ANSWER_LIMIT_S).topics
        asked = [ConfigResource(ConfigResource.Type.TOPIC, s.name) for s in specs if s.name in known]
        answers = client.describe_configs(asked, request_timeout=ANSWER_LIMIT_S) if asked else {}
        found = {r.name: f for r, f in answers.items()}
        lines = [line for s in specs if s.name in found for line in _lines(settings, fleet, s, found[s.name])]
    if lines:
        raise KafkaError("\n".join(lines))


def _lines(settings: Settings, fleet: FleetSpec, spec: TopicSpec, asked: Future[Any]) -> list[str]:
    try:
        entries = asked.result(ANSWER_LIMIT_S)
    except KafkaException as e:
        if e.args[0].code() not in _DENIED:
            raise
        log.warning("topic settings are not checked: no right to DESCRIBE_CONFIGS", topic=spec.name)
        return []
    found = {name: str(entry.value) for name, entry in entries.items()}
    return broken(settings.kafka, spec, found, promised(fleet, spec.name))


def promised(fleet: FleetSpec, topic: str) -> frozenset[str]:
    """The settings of a topic that a promise depends on."""
    names = topic_names(fleet)
    always = {"max.message.bytes", "min.insync.replicas"}
    if topic in (names.models, names.journal):
        return frozenset(always | {"cleanup.policy", "retention.ms"})
    if topic in (names.state, names.model_status):
        return frozenset(always | {"cleanup.policy"})
    if topic in (names.events, names.outcomes):
        return frozenset(always | {"message.timestamp.type"})
    return frozenset(always)


def broken(kafka: Mapping[str, str], spec: TopicSpec, found: Mapping[str, str], names: Collection[str]) -> list[str]:
    """One line if settings of these `names` fall short of the declared ones, with the command that corrects them.

    `kafka` are the librdkafka settings, `found` the settings of the topic.
    """
    short = {n: v for n, v in spec.config.items() if n in names and n in found and not _keeps(n, found[n], v)}
    if not short:
        return []
    now = ", ".join(f"{n}={found[n]}, required is {v} ({_WHY[n]})" for n, v in short.items())
    return [f"topic {spec.name} has {now}: run `{config_command(kafka, spec.name, short)}`"]


def _keeps(name: str, found: str, declared: str) -> bool:
    """Whether a setting is at least as strong as the declared one."""
    if name in ("max.message.bytes", "min.insync.replicas"):
        return int(found) >= int(declared)
    return found == declared
