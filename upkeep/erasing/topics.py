"""Deletes a fleet's topics and its group's offsets, so that the fleet starts from nothing: for development."""

from __future__ import annotations

from confluent_kafka import KafkaError as ClientError
from confluent_kafka import KafkaException

from aimaas.fleet import FleetSpec
from aimaas.kafka import ANSWER_LIMIT_S, admin, begin_offsets, delete_topics, end_offsets, kafka_errors
from aimaas.kafka.rights import in_group
from aimaas.settings import Settings
from aimaas.topics import scorer_group, topic_specs
from upkeep.growth.checks import check_nobody_scores


def fleet_topics(settings: Settings, fleet: FleetSpec) -> dict[str, int]:
    """Return the existing topics of the fleet, with the number of offsets in each (about as many records).

    Raises KafkaError while a scorer of the fleet runs, or if the cluster does not answer.
    """
    with kafka_errors(settings, f"look at the topics of fleet {fleet.fleet}"):
        check_nobody_scores(settings, fleet)
        known = admin(settings).list_topics(timeout=ANSWER_LIMIT_S).topics
    names = [spec.name for spec in topic_specs(fleet) if spec.name in known]
    return {name: _offsets(settings, name) for name in names}


def erase_topics(settings: Settings, fleet: FleetSpec) -> None:
    """Delete the fleet's topics and its scorers' offsets. Raises KafkaError while a scorer of the fleet runs."""
    with kafka_errors(settings, f"delete the topics of fleet {fleet.fleet}"):
        check_nobody_scores(settings, fleet)
    delete_topics(settings, [spec.name for spec in topic_specs(fleet)])
    _erase_group(settings, scorer_group(fleet))


def _offsets(settings: Settings, topic: str) -> int:
    begin = begin_offsets(settings, topic)
    return sum(end - begin.get(p, 0) for p, end in end_offsets(settings, topic, "read_uncommitted").items())


def _erase_group(settings: Settings, group: str) -> None:
    client = admin(settings)
    with kafka_errors(settings, f"delete the group {group}", in_group(group)):
        try:
            client.delete_consumer_groups([group], request_timeout=ANSWER_LIMIT_S)[group].result(ANSWER_LIMIT_S)
        except KafkaException as e:
            if e.args[0].code() != ClientError.GROUP_ID_NOT_FOUND:
                raise
