"""The commands of Kafka's own tools that a person can run as they are printed."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

LOGIN_FILE = "client.properties"
"""The person's file with the login for Kafka's tools, which read no `AIMAAS_KAFKA_…` settings."""


def is_secured(kafka: Mapping[str, str]) -> bool:
    """Whether clients with these librdkafka settings use TLS or a login."""
    return kafka.get("security.protocol", "PLAINTEXT").upper() != "PLAINTEXT"


def tool_command(kafka: Mapping[str, str], tool: str, arguments: str) -> str:
    """The command of a tool such as `kafka-configs` on the cluster of these librdkafka settings. It has no password."""
    login = f" --command-config {LOGIN_FILE}" if is_secured(kafka) else ""
    return f"{tool} --bootstrap-server {shlex.quote(kafka['bootstrap.servers'])}{login} {arguments}"


def config_command(kafka: Mapping[str, str], topic: str, change: Mapping[str, str]) -> str:
    """The `kafka-configs` command that sets these settings of a topic, all at once."""
    wanted = ",".join(f"{name}={value}" for name, value in change.items())
    return tool_command(kafka, "kafka-configs", f"--alter --topic {topic} --add-config {wanted}")
