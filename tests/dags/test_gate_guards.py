"""The gate guards: what trains is what passed, whatever the schedule says. Real Kafka, Spark, Great Expectations and Airflow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from aimaas.fleet import FleetSpec, load_fleet
from aimaas.kafka import create_topics
from aimaas.lake import read_table, row_count, table_version
from aimaas.lake.audits import newest_audit, published_gold
from aimaas.settings import Settings
from aimaas.topics import topic_specs
from aimaas.training.folders import training_folder
from aimaas.training.training_set import read_info
from spark_jobs.sources import sources_of
from stream.devices.histories import Histories
from stream.devices.producer import produce
from stream.devices.simulator import simulate
from tests.dags.test_dag_runs import results

PROJECT = Path(__file__).resolve().parents[2]
pytestmark = [
    pytest.mark.airflow, pytest.mark.broker, pytest.mark.spark, pytest.mark.long, pytest.mark.timeout(3_600),
]  # fmt: skip
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def fleet(tmp_path: Path) -> FleetSpec:
    """A milling fleet with a suite of its own: of a run's rows a tenth may be slow."""
    described = yaml.safe_load((PROJECT / "fleets" / "mill.yaml").read_text())
    described |= {"fleet": "guardmill", "topics": {"partitions": 2}}
    described["training"] |= {"candidates": {"ridge": {}}, "folds": 2}
    path = tmp_path / "fleets" / "guardmill.yaml"
    path.parent.mkdir()
    path.write_text(yaml.safe_dump(described))
    suite = path.parent / "expectations" / "guardmill_silver.yaml"
    suite.parent.mkdir()
    kwargs = {"column": "speed", "min_value": 500, "mostly": 0.9}
    suite.write_text(yaml.safe_dump([{"type": "expect_column_values_to_be_between", "kwargs": kwargs}]))
    return load_fleet(path)


def slow(good: Histories, fleet: FleetSpec) -> Histories:
    """The same rows with a tenth of the speed: no rule on a row sees it, the suite does."""
    values = good.values.copy()
    values[:, fleet.readings.index("speed")] /= 10
    return replace(good, values=values)


def gate(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Call `aimaas gate` as a person does."""
    environment = {
        **os.environ, "AIMAAS_HOME": str(settings.home), "AIMAAS_LAKE": settings.lake, "AIMAAS_FLEETS": str(settings.fleets),
        "AIMAAS_DATA_DOCS": str(settings.data_docs), "PYTHONPATH": str(PROJECT),
    }  # fmt: skip
    command = [sys.executable, "-m", "cli", "gate", *arguments, "--fleet", "guardmill"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)


def frozen_sets(settings: Settings) -> dict[str, int]:
    """The version of gold of each frozen training set, by its folder."""
    found = Path(training_folder(settings, "guardmill")).glob("*/training_set")
    return {str(folder): read_info(folder).gold_version for folder in found}


def test_after_a_failed_gate_training_takes_what_was_published_before_and_goes_on_after_an_acknowledgement(
    settings: Settings, tmp_path: Path, fleet: FleetSpec, in_airflow: Run
) -> None:
    settings = replace(settings, fleets=tmp_path / "fleets")
    create_topics(settings, topic_specs(fleet))
    run_dags = (str(PROJECT / "tests" / "dags" / "run_dags.py"), str(PROJECT / "dags"))
    good = produce(settings, fleet, simulate(fleet, devices=40, seed=3))
    first = results(in_airflow(settings, *run_dags, "guardmill_ingest", "guardmill_prepare"))
    assert {r["state"] for r in first.values()} == {"success"}
    before: Any = table_version(settings, "guardmill", "gold")

    bad = produce(settings, fleet, slow(simulate(fleet, devices=20, seed=3, first_device=1_000), fleet))
    done = in_airflow(settings, *run_dags, "guardmill_ingest", "guardmill_prepare", "guardmill_train")
    failed = results(done)

    ingested = failed["guardmill_ingest"]
    assert (ingested["state"], ingested["tasks"]["check_silver"]) == ("failed", "failed")
    assert ingested["tasks"]["pass_on_outcomes"] == "success", "outcomes do not wait"
    assert f"- speed expect_column_values_to_be_between: {bad.events} of {bad.events} rows fail" in done.stdout
    assert failed["guardmill_train"]["tasks"]["build_features"] == "success"
    assert row_count(settings, "guardmill", "silver") == good.events + bad.events
    assert row_count(settings, "guardmill", "gold") == good.events
    published: Any = table_version(settings, "guardmill", "gold")
    known = [sources_of(settings, fleet, version).outcomes for version in (before, published)]
    assert known[0] < known[1] == table_version(settings, "guardmill", "outcomes")
    assert set(frozen_sets(settings).values()) == {published}
    assert "this training leaves out silver iot.guardmill.events/0/" in done.stdout

    shown = gate(settings, "show", "--json")
    silver = json.loads(shown.stdout.splitlines()[0])
    assert (silver["verdict"], silver["rows"]) == ("failed", bad.events)
    assert "min_value=500" in silver["failures"][0]["allowed"]
    said = gate(settings, "acknowledge", "--why", "half speed for the audit", "--by", "ada")
    assert said.returncode == 0, said.stderr
    last: Any = newest_audit(settings, fleet, "silver")
    assert (last.verdict, last.by, last.why) == ("acknowledged", "ada", "half speed for the audit")

    later = produce(settings, fleet, simulate(fleet, devices=2, seed=3, first_device=2_000))
    third = results(in_airflow(settings, *run_dags, "guardmill_ingest", "guardmill_prepare", "guardmill_train"))

    assert {name: (r["state"], set(r["tasks"].values()) - {"skipped"}) for name, r in third.items()} == {
        f"guardmill_{stage}": ("success", {"success"}) for stage in ("ingest", "prepare", "train")
    }
    assert third["guardmill_ingest"]["tasks"]["check_silver"] == "success"
    newest: Any = table_version(settings, "guardmill", "gold")
    assert read_table(settings, "guardmill", "gold", ["device_id"]).num_rows == good.events + bad.events + later.events
    assert published_gold(settings, fleet, newest) == newest
    assert max(frozen_sets(settings).values()) == newest
