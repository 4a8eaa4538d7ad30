"""Grants rights on a broker whose access control lists (ACLs) say who may do what."""

from __future__ import annotations

from collections.abc import Iterable

from confluent_kafka import KafkaError as ClientError
from confluent_kafka import KafkaException
from confluent_kafka.admin import AclBinding, AclOperation, AclPermissionType, ResourcePatternType, ResourceType

from aimaas.errors import KafkaLastingError
from aimaas.kafka.clients import ANSWER_LIMIT_S, admin
from aimaas.kafka.failures import kafka_errors
from aimaas.kafka.rights import Right
from aimaas.settings import Settings

_KINDS = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactional-id": ResourceType.TRANSACTIONAL_ID,
    "cluster": ResourceType.BROKER,
}
_ALTER_CLUSTER = Right("cluster", "kafka-cluster", "Alter")


def grant(settings: Settings, user: str, rights: Iterable[Right]) -> None:
    """Create the ACLs that allow `rights` to `user` from any host. An ACL that exists stays.

    Brokers learn of a new ACL from the controller: it may take a moment until they follow it. Raises KafkaLastingError if the
    client may not Alter the cluster, or if the broker has no authorizer; KafkaError if the broker refuses for another cause.
    """
    client, bindings = admin(settings), [binding(user, right) for right in rights]
    with kafka_errors(settings, f"grant rights to {user}", _ALTER_CLUSTER):
        for future in client.create_acls(bindings, request_timeout=ANSWER_LIMIT_S).values():
            try:
                future.result(ANSWER_LIMIT_S)
            except KafkaException as e:
                if e.args[0].code() != ClientError.SECURITY_DISABLED:
                    raise
                raise KafkaLastingError(
                    f"grant rights to {user}: {settings.bootstrap_servers} has no ACLs, so each client may do all; set "
                    "authorizer.class.name and super.users of the brokers"
                ) from None


def binding(user: str, right: Right) -> AclBinding:
    """The ACL that allows `right` to `user` from any host."""
    pattern = ResourcePatternType.PREFIXED if right.prefixed else ResourcePatternType.LITERAL
    return AclBinding(
        _KINDS[right.kind], right.name, pattern, f"User:{user}", "*", _operation(right), AclPermissionType.ALLOW
    )


def _operation(right: Right) -> AclOperation:
    """The client's name of an operation of `kafka-acls`: DescribeConfigs is DESCRIBE_CONFIGS."""
    return AclOperation["".join(f"_{c}" if c.isupper() else c.upper() for c in right.operation).strip("_")]
