"""The Kafka settings, given with librdkafka's names, as Spark's Java client takes them."""

from __future__ import annotations

import json
from collections.abc import Mapping

from aimaas.lake import Offsets
from aimaas.settings import Settings

# librdkafka's tuning knobs are not the Java client's: only what decides where and how to connect is handed on
_SAME = ("bootstrap.servers", "security.protocol", "client.id", "ssl.endpoint.identification.algorithm")
_LOGIN = {
    "PLAIN": "org.apache.kafka.common.security.plain.PlainLoginModule",
    "SCRAM-SHA-256": "org.apache.kafka.common.security.scram.ScramLoginModule",
    "SCRAM-SHA-512": "org.apache.kafka.common.security.scram.ScramLoginModule",
}


def connection_options(settings: Settings) -> dict[str, str]:
    """Options `kafka.…` of Spark's source: brokers, TLS (PEM files) and SASL (PLAIN or SCRAM)."""
    given = settings.kafka
    java = {name: given[name] for name in _SAME if name in given}
    java["isolation.level"] = "read_committed"
    if "ssl.ca.location" in given:
        java |= {"ssl.truststore.type": "PEM", "ssl.truststore.location": given["ssl.ca.location"]}
    return {f"kafka.{name}": value for name, value in (java | _sasl(given)).items()}


def _sasl(given: Mapping[str, str]) -> dict[str, str]:
    mechanism = given.get("sasl.mechanism", given.get("sasl.mechanisms", ""))
    if mechanism not in _LOGIN:
        return {"sasl.mechanism": mechanism} if mechanism else {}
    name, password = (json.dumps(given.get(f"sasl.{part}", "")) for part in ("username", "password"))
    login = f"{_LOGIN[mechanism]} required username={name} password={password};"
    return {"sasl.mechanism": mechanism, "sasl.jaas.config": login}


def offsets_json(offsets: Offsets) -> str:
    """Offsets as the options `startingOffsets` and `endingOffsets` take them: {topic: {partition: offset}}."""
    topics: dict[str, dict[str, int]] = {}
    for (topic, partition), offset in sorted(offsets.items()):
        topics.setdefault(topic, {})[str(partition)] = offset
    return json.dumps(topics)


def partitions_json(offsets: Offsets) -> str:
    """The partitions of `offsets` as the option `assign` takes them: {topic: [partition, …]}."""
    topics: dict[str, list[int]] = {}
    for topic, partition in sorted(offsets):
        topics.setdefault(topic, []).append(partition)
    return json.dumps(topics)
