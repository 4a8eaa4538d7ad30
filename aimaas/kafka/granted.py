"""Asks the broker which rights its ACLs do not grant to this client, if an error does not name the right."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError as ClientError
from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from aimaas.kafka.rights import Right

_ANSWER_S = 5.0
_DENIED = (ClientError.TOPIC_AUTHORIZATION_FAILED, ClientError.GROUP_AUTHORIZATION_FAILED)


def lacking(kafka: Mapping[str, str], rights: Sequence[Right]) -> list[Right]:
    """The rights to topics and groups that the broker does not grant."""
    quiet = logging.Logger("aimaas.granted", logging.CRITICAL + 1)
    client = AdminClient({**kafka, "logger": quiet, "error_cb": lambda _: None})
    return [right for right in rights if not _is_granted(client, right)]


def _is_granted(client: Any, right: Right) -> bool:
    """Whether the right is granted, or the broker does not say. A client without Describe gets an error, and so lacks the right."""
    if right.kind not in ("topic", "group"):
        return True
    try:
        if right.kind == "topic":
            names = TopicCollection([right.name])
            asked = client.describe_topics(names, include_authorized_operations=True, request_timeout=_ANSWER_S)
        else:
            asked = client.describe_consumer_groups(
                [right.name], include_authorized_operations=True, request_timeout=_ANSWER_S
            )
        found = asked[right.name].result(_ANSWER_S)
    except KafkaException as e:
        return e.args[0].code() not in _DENIED
    except TimeoutError:
        return True
    error = getattr(found, "error", None)
    if error is not None:
        return error.code() not in _DENIED
    return found.authorized_operations is None or right.operation in _names(found.authorized_operations)


def _names(operations: Iterable[Any]) -> set[str]:
    """The names of the operations in `kafka-acls`: DESCRIBE_CONFIGS is DescribeConfigs."""
    return {"".join(word.capitalize() for word in operation.name.split("_")) for operation in operations}
