"""A right that a broker's access control lists (ACLs) grant, and the `kafka-acls` command that grants it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from aimaas.kafka.tools import tool_command

Kind = Literal["topic", "group", "transactional-id", "cluster"]


@dataclass(frozen=True, order=True)
class Right:
    """One operation on one resource, as `kafka-acls` names them; `prefixed` covers all names that begin with `name`."""

    kind: Kind
    name: str
    operation: str
    prefixed: bool = False

    def __str__(self) -> str:
        if self.kind == "cluster":
            return f"{self.operation} on the cluster"
        return f"{self.operation} on {self.kind.replace('-', ' ')} {self.name}{'*' if self.prefixed else ''}"

    def command(self, user: str, kafka: Mapping[str, str]) -> str:
        """The `kafka-acls` command that grants this right to `user` on the cluster of these librdkafka settings."""
        resource = "--cluster" if self.kind == "cluster" else f"--{self.kind} {self.name}"
        pattern = " --resource-pattern-type prefixed" if self.prefixed else ""
        arguments = f"--add --allow-principal User:{user} --operation {self.operation} {resource}{pattern}"
        return tool_command(kafka, "kafka-acls", arguments)


def on_topic(operation: str, name: str) -> Right:
    """A right on one topic."""
    return Right("topic", name, operation)


def in_group(name: str) -> Right:
    """The right that every reader needs to its consumer group: a reader that commits no offsets also asks for its coordinator."""
    return Right("group", name, "Read")


def user_of(kafka: Mapping[str, str]) -> str:
    """The user of these librdkafka settings; a placeholder if a certificate or a token names the user."""
    return kafka.get("sasl.username") or "<this client>"
