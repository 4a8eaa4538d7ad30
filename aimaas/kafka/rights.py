"""What a broker's access control lists (ACLs) grant: one right, and the `kafka-acls` command that grants it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

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

    def command(self, user: str) -> str:
        """The arguments of `kafka-acls` that grant this right to `user`."""
        resource = "--cluster" if self.kind == "cluster" else f"--{self.kind} {self.name}"
        pattern = " --resource-pattern-type prefixed" if self.prefixed else ""
        return f"kafka-acls --add --allow-principal User:{user} --operation {self.operation} {resource}{pattern}"


def on_topic(operation: str, name: str) -> Right:
    """A right on one topic."""
    return Right("topic", name, operation)


def in_group(name: str) -> Right:
    """What every reader needs of its consumer group: also one that commits nothing asks for the group's coordinator."""
    return Right("group", name, "Read")


def user_of(kafka: Mapping[str, str]) -> str:
    """The user that these librdkafka settings log in as; a placeholder where a certificate or a token says so."""
    return kafka.get("sasl.username") or "<this client>"
