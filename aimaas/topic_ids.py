"""Topic ids: what tells a topic from another one that was made under its name after it was deleted (KIP-516)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaException, TopicCollection

from aimaas.kafka import ANSWER_LIMIT_S, admin, kafka_errors
from aimaas.settings import Settings


def topic_ids(settings: Settings, topics: Sequence[str]) -> dict[str, str]:
    """The id of each topic, 22 characters of base64. Raises KafkaError, also where a topic is not there."""
    client = admin(settings)
    with kafka_errors(settings, f"ask for the id of {', '.join(topics)}"):
        return {topic: id_of(future.result(ANSWER_LIMIT_S)) for topic, future in ask_for_ids(client, topics).items()}


def ask_for_ids(client: Any, topics: Sequence[str]) -> Mapping[str, Any]:
    """Futures of the topics' descriptions, for `id_of`. Keep `client` while they are awaited."""
    return client.describe_topics(TopicCollection(list(topics)), request_timeout=ANSWER_LIMIT_S) if topics else {}


def id_of(description: Any) -> str:
    """The id in what `describe_topics` gives. Raises KafkaException where it says that there is no such topic."""
    if getattr(description, "error", None) is not None:
        raise KafkaException(description.error)
    return str(description.topic_id)
