"""Settings that promises rest on: which are looked at, and what is said of one that falls short."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource

from aimaas.errors import KafkaError
from aimaas.fleet import FleetSpec, find_fleet
from aimaas.kafka import admin, create_topics, delete_topics
from aimaas.kafka.topic_settings import broken, check_settings, promised
from aimaas.settings import Settings
from aimaas.topics import topic_names, topic_specs
from tests.conftest import FLEETS
from tests.kafka_tools import in_backticks, run_as_printed

MILL = find_fleet(FLEETS, "mill")
KAFKA = {"bootstrap.servers": "k-1:9092,k-2:9092"}


def spec_of(kind: str, fleet: FleetSpec = MILL) -> Any:
    return next(s for s in topic_specs(fleet) if s.name == getattr(topic_names(fleet), kind))


@pytest.mark.parametrize(
    ("kind", "changes", "says"),
    [
        ("events", {"message.timestamp.type": "CreateTime"}, "message.timestamp.type=LogAppendTime"),
        ("outcomes", {"message.timestamp.type": "CreateTime"}, "message.timestamp.type=LogAppendTime"),
        ("state", {"cleanup.policy": "delete"}, "cleanup.policy=compact"),
        ("state", {"cleanup.policy": "compact,delete"}, "cleanup.policy=compact"),
        ("journal", {"retention.ms": "1000"}, "retention.ms=-1"),
        ("models", {"cleanup.policy": "compact"}, "cleanup.policy=delete"),
        ("dead_letters", {"max.message.bytes": "1000"}, "max.message.bytes="),
        ("events", {"max.message.bytes": "999999999"}, ""),
        ("events", {"retention.ms": "1000"}, ""),
        ("predictions", {"message.timestamp.type": "LogAppendTime"}, ""),
    ],
)
def test_a_setting_that_breaks_a_promise_is_one_line_with_the_command_that_mends_it(
    kind: str, changes: dict[str, str], says: str
) -> None:
    spec = spec_of(kind)
    lines = broken(KAFKA, spec, {**spec.config, **changes}, promised(MILL, spec.name))
    command = f"run `kafka-configs --bootstrap-server k-1:9092,k-2:9092 --alter --topic {spec.name} --add-config "
    assert [says in line and command in line for line in lines] == ([True] if says else [])


@pytest.mark.parametrize(("replication", "declared"), [(1, None), (2, None), (3, "2"), (5, "2")])
def test_with_three_copies_two_must_have_a_record(replication: int, declared: str | None) -> None:
    topics = MILL.topics.model_copy(update={"replication": replication})
    specs = topic_specs(MILL.model_copy(update={"topics": topics}))
    assert {s.config.get("min.insync.replicas") for s in specs} == {declared}
    if declared:
        assert broken(KAFKA, specs[0], {**specs[0].config, "min.insync.replicas": "1"}, promised(MILL, specs[0].name))


@pytest.fixture
def fleet(settings: Settings) -> Iterator[FleetSpec]:
    made = FleetSpec.model_validate({**MILL.model_dump(), "fleet": f"s{time.time_ns() % 10**12}"})
    create_topics(settings, topic_specs(made))
    yield made
    delete_topics(settings, [s.name for s in topic_specs(made)])


@pytest.mark.broker
def test_topics_as_they_are_created_keep_every_promise_and_a_changed_one_is_told_with_the_command_that_mends_it(
    settings: Settings, fleet: FleetSpec, tmp_path: Path
) -> None:
    check_settings(settings, fleet)
    names, client = topic_names(fleet), admin(settings)
    entry = ConfigEntry("message.timestamp.type", "CreateTime", incremental_operation=AlterConfigOpType.SET)
    changed = ConfigResource(ConfigResource.Type.TOPIC, names.events, incremental_configs=[entry])
    for done in client.incremental_alter_configs([changed]).values():
        done.result(30)

    limit = time.monotonic() + 30
    with pytest.raises(KafkaError, match=f"topic {names.events} has message.timestamp.type=CreateTime") as told:
        while time.monotonic() < limit:  # the broker hears of it a moment later
            check_settings(settings, fleet)
    check_settings(settings, fleet, [names.outcomes])

    run_as_printed(in_backticks(str(told.value), "kafka-configs"), settings.jars, tmp_path)

    while time.monotonic() < limit:
        with suppress(KafkaError):
            check_settings(settings, fleet)
            break
    check_settings(settings, fleet)
