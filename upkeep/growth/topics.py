"""The topics of a growth: reads their numbers of partitions, and grows them."""

from __future__ import annotations

import time

from confluent_kafka.admin import NewPartitions

from aimaas.errors import KafkaError
from aimaas.fleet import FleetSpec
from aimaas.kafka import ANSWER_LIMIT_S, admin
from aimaas.settings import Settings
from aimaas.topics import topic_names, topic_specs

_POLL_S = 0.05


def keyed_topics(settings: Settings, fleet: FleetSpec, wanted: int) -> dict[str, int]:
    """Return the partitions of all keyed topics of the fleet. Raises KafkaError if one is missing, or has more than `wanted`."""
    client = admin(settings)
    known = client.list_topics(timeout=ANSWER_LIMIT_S).topics
    names = [spec.name for spec in topic_specs(fleet) if spec.name not in topic_names(fleet).unkeyed]
    missing = [name for name in names if name not in known]
    if missing:
        raise KafkaError(
            f"no topic {missing[0]}: `aimaas topics create --fleet {fleet.fleet}` creates the fleet's topics"
        )
    counts = {name: len(known[name].partitions) for name in names}
    larger = {name: n for name, n in counts.items() if n > wanted}
    if larger:
        name, n = next(iter(larger.items()))
        raise KafkaError(f"topic {name} has {n} partitions, requested are {wanted}: Kafka cannot remove partitions")
    return counts


def grow_topic(settings: Settings, topic: str, partitions: int) -> None:
    """Grow a topic to this many partitions; it is ready to use when this returns. A topic that has them stays unchanged."""
    client, limit = admin(settings), time.monotonic() + ANSWER_LIMIT_S
    if len(client.list_topics(topic, timeout=ANSWER_LIMIT_S).topics[topic].partitions) < partitions:
        client.create_partitions([NewPartitions(topic, partitions)], request_timeout=ANSWER_LIMIT_S)[topic].result(
            ANSWER_LIMIT_S
        )
    while True:
        found = client.list_topics(topic, timeout=ANSWER_LIMIT_S).topics[topic].partitions
        if len(found) >= partitions and all(p.leader >= 0 for p in found.values()):
            return
        if time.monotonic() > limit:
            raise KafkaError(
                f"grow {topic}: its new partitions did not appear within {ANSWER_LIMIT_S:g} s; run this again"
            )
        time.sleep(_POLL_S)
