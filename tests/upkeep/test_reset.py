"""`aimaas fleets reset` on a real broker, lake and registry: what was there is gone, and the fleet works as a new one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from confluent_kafka import Consumer
from typer.testing import CliRunner

from aimaas.cli.app import app
from aimaas.errors import KafkaError
from aimaas.kafka import admin, consumer_config
from aimaas.lake import read_table
from aimaas.mlflow_store import client
from aimaas.topics import scorer_group, topic_names, topic_specs
from spark_jobs.admit import admit
from spark_jobs.gold import gold
from spark_jobs.land import land

if TYPE_CHECKING:
    from tests.spark_jobs.conftest import Plant

Call = Callable[..., Any]


@pytest.fixture
def call(plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run a command of `aimaas` on the plant's fleet."""
    fleets = tmp_path / "fleets"
    fleets.mkdir()
    (fleets / f"{plant.fleet.fleet}.yaml").write_text(yaml.safe_dump(json.loads(plant.fleet.model_dump_json())))
    for name, value in {"HOME": plant.settings.home, "FLEETS": fleets}.items():
        monkeypatch.setenv(f"AIMAAS_{name}", str(value))
    monkeypatch.setenv("AIMAAS_KAFKA_BOOTSTRAP_SERVERS", plant.settings.bootstrap_servers)
    return lambda *arguments, **more: CliRunner().invoke(app, [*arguments], **more)


def topics_there(plant: Plant) -> set[str]:
    mine = {spec.name for spec in topic_specs(plant.fleet)}
    return mine & set(admin(plant.settings).list_topics(timeout=15).topics)


def to_gold(plant: Plant, devices: int) -> list[dict[str, Any]]:
    plant.send(*[(f"d{d}", plant.event(f"d{d}", seq)) for seq in range(10) for d in range(devices)])
    plant.send(("d0", plant.outcome("d0", 9)), topic="outcomes")
    for name, work in (("land", land), ("admit", admit), ("gold", gold)):
        work(plant.job(name))
    rows: list[dict[str, Any]] = read_table(
        plant.settings, plant.fleet.fleet, "gold", ["device_id", "order"]
    ).to_pylist()
    return rows


@pytest.mark.broker
@pytest.mark.spark
def test_a_reset_fleet_is_empty_and_works_as_a_new_one(plant: Plant, call: Call) -> None:
    name, home = plant.fleet.fleet, plant.settings.home
    assert len(to_gold(plant, 3)) == 30
    with client(plant.settings) as registry:
        registry.create_registered_model(name)
        registry.create_model_version(name, str(home))
    (home / "models" / name).mkdir(parents=True)

    kept = call("fleets", "reset", name, input="n\n")
    assert kept.exit_code == 1 and len(topics_there(plant)) == 11
    for line in (f"iot.{name}.events", "bronze", "1 version", "30 rows", str(home / "models" / name)[:20]):
        assert line in kept.output
    assert call("fleets", "reset", name, "--dry-run").exit_code == 0
    assert len(topics_there(plant)) == 11

    done = call("fleets", "reset", name, "--yes")

    assert done.exit_code == 0, done.output
    assert topics_there(plant) == set()
    assert not (Path(plant.settings.lake) / name).exists() and not (home / "models" / name).exists()
    with client(plant.settings) as registry:
        assert registry.search_registered_models(f"name='{name}'") == []
    assert "nothing is there" in call("fleets", "reset", name, "--yes").output
    assert call("topics", "create", "--fleet", name).exit_code == 0
    rows = to_gold(plant, 2)
    assert sorted({r["device_id"] for r in rows}) == ["d0", "d1"] and len(rows) == 20


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
