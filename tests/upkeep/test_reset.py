"""`aimaas fleets reset` on a real broker, lake and registry: what was there is gone, and the fleet works as a new one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from confluent_kafka import Consumer
from typer.testing import CliRunner

from aimaas.errors import KafkaError
from aimaas.kafka import admin, consumer_config
from aimaas.lake import append_rows
from aimaas.registry.mlflow_store import client
from aimaas.topics import scorer_group, topic_names, topic_specs
from cli.app import app

if TYPE_CHECKING:
    from tests.spark_jobs.conftest import Plant

Call = Callable[..., Any]


@pytest.fixture
def call(environment: None) -> Call:
    """Run a command of `aimaas` on the plant's fleet."""
    return lambda *arguments, **more: CliRunner().invoke(app, [*arguments], **more)


def topics_there(plant: Plant) -> set[str]:
    mine = {spec.name for spec in topic_specs(plant.fleet)}
    return mine & set(admin(plant.settings).list_topics(timeout=15).topics)


def fill(plant: Plant) -> None:
    """Something of everything that a reset deletes, but for the lake."""
    with client(plant.settings) as registry:
        registry.create_registered_model(plant.fleet.fleet)
        registry.create_model_version(plant.fleet.fleet, str(plant.settings.home))
    for folder in (
        *(plant.settings.home / part for part in ("training", "search", "models")),
        plant.settings.data_docs,
    ):
        (folder / plant.fleet.fleet).mkdir(parents=True)
        (folder / "another").mkdir()


@pytest.mark.broker
def test_a_reset_lists_what_will_go_asks_and_deletes_it_and_nothing_of_other_fleets(plant: Plant, call: Call) -> None:
    name, home, lake = plant.fleet.fleet, plant.settings.home, Path(plant.settings.lake)
    rows = pa.table({"topic": [topic_names(plant.fleet).events] * 3, "partition": [0] * 3, "offset": [0, 1, 2]})
    for fleet in (name, "another"):
        append_rows(plant.settings, fleet, "bronze", rows)
    plant.send(("d1", plant.event("d1", 1)))
    fill(plant)

    kept = call("fleets", "reset", name, input="n\n")
    told = {" ".join(line.split()) for line in kept.output.splitlines()}
    assert isinstance(kept.exception, SystemExit) and kept.exit_code == 1, kept.exception
    assert {
        f"topic iot.{name}.events 1 offsets",
        "lake table bronze 3 rows",
        f"registered model {name} 1 version",
    } <= told
    assert call("fleets", "reset", name, "--dry-run").exit_code == 0
    assert len(topics_there(plant)) == 11 and (lake / name / "bronze").exists()

    done = call("fleets", "reset", name, "--yes")

    assert done.exit_code == 0, done.output
    assert topics_there(plant) == set()
    assert [p.name for p in lake.iterdir()] == ["another"]
    for part in (home / "training", home / "search", home / "models", plant.settings.data_docs):
        assert [p.name for p in part.iterdir()] == ["another"]
    with client(plant.settings) as registry:
        assert registry.search_registered_models(f"name='{name}'") == []
    assert f"fleet {name} has no data" in call("fleets", "reset", name, "--yes").output


@pytest.mark.broker
def test_a_fleet_is_not_reset_while_a_scorer_runs_and_its_offsets_go_with_it(plant: Plant, call: Call) -> None:
    group, topic = scorer_group(plant.fleet), topic_names(plant.fleet).events
    plant.send(("d1", plant.event("d1", 1)))
    scorer = Consumer(consumer_config(plant.settings, group, auto_offset_reset="earliest"))
    scorer.subscribe([topic])
    message = _first(scorer)
    scorer.commit(message=message, asynchronous=False)

    refused = call("fleets", "reset", plant.fleet.fleet, "--yes")
    assert isinstance(refused.exception, KafkaError) and "stop every scorer" in str(refused.exception)
    assert len(topics_there(plant)) == 11

    scorer.close()
    assert call("fleets", "reset", plant.fleet.fleet, "--yes").exit_code == 0
    groups = admin(plant.settings).list_consumer_groups(request_timeout=15).result().valid
    assert group not in {g.group_id for g in groups}


def _first(consumer: Consumer) -> Any:
    for _ in range(120):
        message = consumer.poll(1.0)
        if message is not None and message.error() is None:
            return message
    raise AssertionError("no record came within 120 s")
