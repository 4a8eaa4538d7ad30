"""Every DAG of a fleet, run by Airflow's own `dag.test()`: real Kafka, Spark, Great Expectations, training, MLflow."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from aimaas.fleet import FleetSpec, load_fleet
from aimaas.kafka import create_topics, read_all
from aimaas.lake import read_table, row_count
from aimaas.records.events import Announcement
from aimaas.registry.versions import list_models
from aimaas.settings import Settings
from aimaas.topics import topic_names, topic_specs
from stream.devices.producer import produce
from stream.devices.simulator import simulate

PROJECT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.airflow, pytest.mark.broker, pytest.mark.spark, pytest.mark.timeout(900)]
Results = dict[str, dict[str, Any]]


@pytest.fixture
def fleet(tmp_path: Path) -> FleetSpec:
    """A milling fleet under a name of its own, so that the broker's other topics do not matter, with one quick candidate."""
    described = yaml.safe_load((PROJECT / "fleets" / "mill.yaml").read_text())
    described |= {"fleet": "dagmill", "topics": {"partitions": 2}}
    described["training"] |= {"candidates": {"boosting": {}}, "folds": 2}
    described["split"] = {"train": 0.6, "validation": 0.15, "test": 0.25}  # a first champion needs five test devices
    path = tmp_path / "fleets" / "dagmill.yaml"
    path.parent.mkdir()
    path.write_text(yaml.safe_dump(described))
    return load_fleet(path)


def results(done: subprocess.CompletedProcess[str]) -> Results:
    lines = [
        json.loads(line.removeprefix("RESULT ")) for line in done.stdout.splitlines() if line.startswith("RESULT ")
    ]
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return {line["dag"]: line for line in lines}


def test_every_dag_of_a_fleet_runs_from_events_to_an_announced_champion(
    settings: Settings, tmp_path: Path, fleet: FleetSpec, in_airflow: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    settings = replace(settings, fleets=tmp_path / "fleets")
    create_topics(settings, topic_specs(fleet))
    sent = produce(settings, fleet, simulate(fleet, devices=40, seed=3))

    run_dags = (str(PROJECT / "tests" / "dags" / "run_dags.py"), str(PROJECT / "dags"))
    first = results(in_airflow(settings, *run_dags, "dagmill_ingest", "dagmill_prepare", "dagmill_train"))

    assert first["dagmill_ingest"]["tasks"].pop("pass_on_outcomes") == "skipped", "they went on with the events"
    assert {name: (r["state"], set(r["tasks"].values())) for name, r in first.items()} == {
        f"dagmill_{stage}": ("success", {"success"}) for stage in ("ingest", "prepare", "train")
    }
    assert row_count(settings, "dagmill", "silver") == sent.events
    assert row_count(settings, "dagmill", "gold") == sent.events
    assert read_table(settings, "dagmill", "outcomes").num_rows == sent.outcomes
    assert [m.aliases for m in list_models(settings, fleet)] == [("champion",)]
    (said,) = [
        msgspec.json.decode(r.value, type=Announcement)
        for r in read_all(settings, topic_names(fleet).models)
        if r.value
    ]
    assert (said.alias, said.version) == ("champion", "1")
    assert (settings.data_docs / "dagmill" / "site" / "index.html").is_file()

    again = results(in_airflow(settings, *run_dags, "dagmill_ingest"))

    assert again["dagmill_ingest"]["state"] == "success"
    assert again["dagmill_ingest"]["tasks"]["check_silver"] == "skipped", "nothing new came, nothing may follow"
