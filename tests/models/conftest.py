"""A small fleet whose devices wear out, and training sets of it made by the kernel, without Spark."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from aimaas.fleet import FleetSpec
from aimaas.kernel.features import kernel_of
from aimaas.kernel.fit import channel_matrix, finish, moments
from aimaas.kernel.plan import plan_of
from aimaas.kernel.regimes import find_regimes
from aimaas.kernel.state import DeviceState
from aimaas.lake import table_path
from aimaas.registry.versions import prepare_registry
from aimaas.settings import Settings, read_settings
from aimaas.training.split import split_of
from aimaas.training.training_set import write_description

CAP = 40.0


def pump_fleet(candidates: dict[str, Any] | None = None, classify: bool = False, **changes: Any) -> FleetSpec:
    """Pumps with two sensors; the remaining useful life, or a failure within 10 cycles."""
    life = {"kind": "remaining_useful_life", "unit": "cycles", "cap": CAP}
    chance = {"kind": "failure_within", "unit": "cycles", "horizon": 10}
    return FleetSpec.model_validate(
        {
            "fleet": "pump",
            "version": 1,
            "sensors": {
                "heat": {"name": "temperature", "unit": "K", "range": [200, 500]},
                "noise": {"name": "vibration", "unit": "1", "range": [-100, 100]},
            },
            "features": {"windows": [3, 6], "first": 2},
            "task": chance if classify else life,
            "training": {
                "candidates": candidates or {"ridge": {}, "boosting": {"trees": 30}},
                "folds": 2,
                "minimum": {"devices": 10, "rows": 200, "failures": 5},
            },
            **changes,
        }
    )


def histories(devices: int, seed: int) -> pa.Table:
    """Gold's columns for pumps that all ran to failure after 40 to 80 cycles."""
    random, parts = np.random.default_rng(seed), []
    for d in range(devices):
        life = int(random.integers(40, 80))
        left = np.arange(life)[::-1]
        wear = np.exp(-left / 15)
        parts.append(
            {
                "device_id": np.repeat(f"pump-{d}", life),
                "order": np.arange(life),
                "left": left,
                "heat": 300 + 30 * wear + random.normal(0, 2, life),
                "noise": 5 * wear + random.normal(0, 0.5, life),
            }
        )
    return pa.table({name: np.concatenate([p[name] for p in parts]) for name in parts[0]})


def labelled(fleet: FleetSpec, table: pa.Table) -> pa.Table:
    """Run, beginnings, split and label beside the readings."""
    left = table["left"].to_numpy()
    label = np.minimum(left, CAP) if fleet.task.kind == "remaining_useful_life" else left <= 10
    return pa.table(
        {
            "device_id": table["device_id"],
            "run": np.zeros(len(left), np.int64),
            "order": table["order"],
            "begins": table["order"].to_numpy() == 0,
            "broker_ts": pa.array(table["order"].to_numpy() * 60_000_000, pa.timestamp("us", "UTC")),
            "split": [split_of(d, fleet.split) for d in table["device_id"].to_pylist()],
            "label": label.astype(np.float64),
            "heat": table["heat"],
            "noise": table["noise"],
        }
    )


def freeze(fleet: FleetSpec, folder: Path, gold: pa.Table, gold_version: int = 0) -> Path:
    """Write the training set of these rows into `folder`, fitted on its training devices."""
    plan = plan_of(fleet)
    raw = np.stack([gold[name].to_numpy() for name in plan.readings], axis=1)
    learned = raw[np.array(gold["split"].to_pylist()) == "train"]
    regimes = find_regimes(plan, learned, 0)
    fit = finish(regimes, [moments(plan, regimes, channel_matrix(plan, learned).mean(axis=0), learned)])
    state = DeviceState.of(fleet)
    slots = state.slots(gold["device_id"].to_pylist())
    features = kernel_of(plan, fit).advance(state, slots, raw.astype(np.float32), gold["begins"].to_numpy())
    rows = gold.select(["device_id", "run", "order", "split"])
    rows = rows.append_column("label", gold["label"].cast(pa.float32()))
    rows = rows.append_column("features", pa.array(list(features), pa.list_(pa.float32())))
    (folder / "rows").mkdir(parents=True)
    pq.write_table(rows, folder / "rows" / "part-0.parquet")
    failures = {
        s: len(set(gold.filter(pa.compute.equal(gold["split"], s))["device_id"].to_pylist())) for s in ("train", "test")
    }
    write_description(folder, (fleet.fleet, fleet.version), plan, fit, gold_version, failures)
    return folder


@pytest.fixture(autouse=True)
def _few_rendered(request: pytest.FixtureRequest) -> None:
    """Only tests marked `rendered` render the figures of model cards."""
    if request.node.get_closest_marker("rendered") is None:
        request.getfixturevalue("unrendered")


@pytest.fixture(scope="session")
def empty_registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's database without content, which takes seconds to make."""
    home = tmp_path_factory.mktemp("registry")
    settings = read_settings({"AIMAAS_HOME": str(home)})
    prepare_registry(settings)
    return home / "mlflow" / "mlflow.db"


@pytest.fixture
def registry(offline_settings: Settings, empty_registry: Path) -> Settings:
    """Settings of a home with an empty registry."""
    (offline_settings.home / "mlflow").mkdir(parents=True)
    shutil.copy(empty_registry, offline_settings.home / "mlflow")
    return offline_settings


@pytest.fixture
def training_set(offline_settings: Settings) -> Callable[..., Path]:
    """Make a training set below the home: `training_set(fleet, devices=40, seed=1, gold=False)`; with `gold` the table too."""
    made = 0

    def make(fleet: FleetSpec, devices: int = 40, seed: int = 1, gold: bool = False) -> Path:
        nonlocal made
        made += 1
        rows, version = labelled(fleet, histories(devices, seed)), 0
        if gold:
            path = table_path(offline_settings, fleet.fleet, "gold")
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            write_deltalake(path, rows, mode="overwrite")
            from aimaas.lake import table_version

            version = table_version(offline_settings, fleet.fleet, "gold") or 0
        return freeze(fleet, offline_settings.home / "training" / str(made) / "training_set", rows, version)

    return make
