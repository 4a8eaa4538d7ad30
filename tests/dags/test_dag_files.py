"""What the DAG processor sees in dags/."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aimaas.settings import Settings

HEAVY = ("pyspark", "sklearn", "onnx", "onnxruntime", "great_expectations", "mlflow", "numba", "pandas", "deltalake")
STAGES = ("ingest", "maintenance", "prepare", "rebuild", "train")
pytestmark = pytest.mark.airflow


@pytest.fixture
def found(parsed: Callable[[Settings], Any], offline_settings: Settings) -> Any:
    return parsed(offline_settings)


def test_each_fleet_file_gives_its_dags_in_order_and_reading_them_is_light(found: Any) -> None:
    assert found["errors"] == {}
    assert sorted(found["dags"]) == [f"{f}_{s}" for f in ("mill", "turbofan") for s in STAGES]
    assert [m for m in HEAVY if m in found["modules"]] == []
    assert found["dags"]["turbofan_ingest"]["tasks"] == {
        "land": ["admit"],
        "admit": ["check_silver"],
        "check_silver": ["pass_on_outcomes", "published"],
        "pass_on_outcomes": [],
        "published": [],
    }
    assert found["dags"]["turbofan_prepare"]["tasks"] == {"build_gold": ["check_gold"], "check_gold": []}
    assert found["dags"]["turbofan_maintenance"]["tasks"] == {"maintain": []}
    assert found["dags"]["turbofan_train"]["tasks"] == {
        "enough_outcomes": ["build_features", "register_and_promote", "train_candidates"],
        "build_features": ["train_candidates"],
        "train_candidates": ["register_and_promote"],
        "register_and_promote": ["announce"],
        "announce": [],
    }
    assert found["dags"]["turbofan_rebuild"]["tasks"] == {
        "day_is_over": ["rebuild"],
        "rebuild": ["check_day"],
        "check_day": ["tell_prepare"],
        "tell_prepare": [],
    }
    assert found["dags"]["turbofan_rebuild"]["bounded"] == {"rebuild": 1}, "two days never write to one table at once"
    assert found["dags"]["turbofan_train"]["groups"]["model"] == ["build_features", "train_candidates"]
    for name, dag in found["dags"].items():
        _check_habits(name, dag)


def _check_habits(name: str, dag: dict[str, Any]) -> None:
    fleet, stage = name.rsplit("_", 1)
    runs = 2 if stage == "rebuild" else 1
    assert (dag["max_active_runs"], dag["catchup"], dag["documented"]) == (runs, False, True), name
    assert dag["same_twice"], f"{name} gives a new DAG version each time it is read"
    assert dag["retries"] == [2]
    assert dag["told_of_failures"], name
    assert dag["limited"], name
    assert (dag["connections"], dag["pools"]) == ([], []) if stage == "maintenance" else (["spark_default"], ["spark"])
    asset = {"ingest": "silver", "prepare": "gold", "train": "model", "rebuild": "silver", "maintenance": None}[stage]
    assert set(dag["outlets"]) == ({f"aimaas://{fleet}/{asset}"} if asset else set())


def test_another_process_that_reads_the_dags_makes_no_new_version_of_any(
    found: Any, parsed: Callable[..., Any], offline_settings: Settings
) -> None:
    again = parsed(offline_settings, hash_seed="7")

    assert {n: d["digest"] for n, d in again["dags"].items()} == {n: d["digest"] for n, d in found["dags"].items()}


def test_a_broken_fleet_file_is_an_import_error_that_names_it_and_leaves_the_others(
    parsed: Callable[[Settings], Any], offline_settings: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "fleets"
    shutil.copytree(offline_settings.fleets, folder)
    (folder / "pump.yaml").write_text("fleet: pump\nversion: 1\n")
    fan = (folder / "mill.yaml").read_text().replace("fleet: mill", "fleet: fan")
    never, changed = re.subn(r"^  ingest: .*$", '  ingest: "99 * * * *"', fan, flags=re.MULTILINE)
    assert changed == 1
    (folder / "fan.yaml").write_text(never)

    found = parsed(replace(offline_settings, fleets=folder))

    assert sorted({name.rsplit("_", 1)[0] for name in found["dags"]}) == ["mill", "turbofan"]
    ((file, error),) = found["errors"].items()
    assert file.endswith("fleet_file_errors.py")
    assert f"{folder / 'pump.yaml'}: sensors:" in error
    assert f"{folder / 'fan.yaml'}: schedule.ingest: found '99 * * * *'" in error
