"""Topic ids, which distinguish a topic from one that was created later under the same name (KIP-516)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaException, TopicCollection

from aimaas.kafka.clients import ANSWER_LIMIT_S, admin, kafka_errors
from aimaas.kafka.rights import on_topic
from aimaas.settings import Settings

_URL_SAFE = str.maketrans("+/", "-_")


def topic_ids(settings: Settings, topics: Sequence[str]) -> dict[str, str]:
    """The id of each topic, as Kafka's own tools show it. Raises KafkaError, also if a topic does not exist."""
    client = admin(settings)
    rights = [on_topic("Read", topic) for topic in topics]  # Write implies Describe as well
    with kafka_errors(settings, f"ask for the id of {', '.join(topics)}", *rights):
        return {topic: id_of(future.result(ANSWER_LIMIT_S)) for topic, future in ask_for_ids(client, topics).items()}


def ask_for_ids(client: Any, topics: Sequence[str]) -> Mapping[str, Any]:
    """Futures of the topics' descriptions, for `id_of`. Keep `client` in a variable while they are awaited."""
    return client.describe_topics(TopicCollection(list(topics)), request_timeout=ANSWER_LIMIT_S) if topics else {}


def id_of(description: Any) -> str:
    """The id in a description from `describe_topics`: 22 characters of URL-safe base64, which a path may contain.

    librdkafka uses the alphabet of base64 with `/`, which separates the parts of coordinates. Raises KafkaException if there is
    no such topic.
    """
    if getattr(description, "error", None) is not None:
        raise KafkaException(description.error)
    return str(description.topic_id).translate(_URL_SAFE)
