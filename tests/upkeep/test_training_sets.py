"""Which frozen training sets go: real sets and a real registry."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aimaas.errors import RegistryError
from aimaas.fleet import FleetSpec
from aimaas.model.artefact import sha256
from aimaas.registry.mlflow_store import client
from aimaas.registry.versions import register, set_champion
from aimaas.settings import Settings
from aimaas.training.folders import name_of, training_folder
from aimaas.training.report import CandidateReport, TrainReport, write_report
from aimaas.training.training_set import newest_training_set, read_info, read_training_set
from tests.models.conftest import empty_registry, freeze, histories, labelled, pump_fleet, registry
from upkeep.maintenance.training_sets import prune_sets

__all__ = ["empty_registry", "registry"]

NOW = datetime(2026, 11, 25, tzinfo=UTC)
FLEET: FleetSpec = pump_fleet(training={"candidates": {"ridge": {}}, "retention_days": 10})
Freeze = Callable[..., Path]


@pytest.fixture(params=["lake", "home of an older release", "lake of a URI"])
def where(request: pytest.FixtureRequest) -> str:
    """Where the trainings lie."""
    return str(request.param)


@pytest.fixture
def offline_settings(offline_settings: Settings, where: str) -> Settings:
    """Those of all tests, with a lake that is a path or a URI."""
    uri = f"file://{offline_settings.lake}"
    return replace(offline_settings, lake=uri) if "URI" in where else offline_settings


@pytest.fixture
def frozen(offline_settings: Settings, where: str) -> Freeze:
    """Freeze a set of a run so many days ago: `frozen("run", seed, age_days)`; its folder."""

    def make(run: str, seed: int, age_days: float) -> Path:
        lake = Path(training_folder(offline_settings, FLEET.fleet).removeprefix("file://"))
        folder = (offline_settings.home / "training" / FLEET.fleet if "home" in where else lake) / run / "training_set"
        freeze(FLEET, folder, labelled(FLEET, histories(12, seed)))
        age(folder.parent, age_days)
        return folder

    return make


def place(settings: Settings, folder: Path) -> str:
    """How the folder is named by those who find it in a lake that may be a URI."""
    return f"file://{folder}" if settings.lake.startswith("file://") else str(folder)


def age(run: Path, days: float) -> None:
    at = (NOW - timedelta(days=days)).timestamp()
    for path in [p for p in run.rglob("*") if p.is_file()]:
        os.utime(path, (at, at))


def learned_from(settings: Settings, folder: Path, age_days: float) -> str:
    """Register a model of a set, as the train DAG does; the version."""
    info, trained, content = read_info(folder), folder.parent / "trained", str(folder).encode()
    trained.mkdir()
    (trained / "model.onnx").write_bytes(content)
    write_report(
        trained,
        TrainReport(
            fleet=FLEET.fleet, fleet_version=1, chosen="ridge", error="rmse", candidates=[CandidateReport("ridge", [9.0], 9.0, 1)],
            metrics={"rmse": 9.0}, splits=info.splits, settings={}, seed=7, training_set=name_of(settings, place(settings, folder)),
            digest=info.digest, gold_version=0, plan="p", fit="f", sha256=sha256(content), code_version="1", seconds=1.0,
        ),
    )  # fmt: skip
    version = register(settings, FLEET, trained)
    age(folder.parent, age_days)
    return version


def test_only_old_sets_that_no_version_learned_from_go(registry: Settings, frozen: Freeze) -> None:
    champion, other, refused, copy, newest = (
        frozen(name, seed, days)
        for name, seed, days in [("a", 1, 90), ("b", 2, 80), ("refused", 3, 70), ("copy", 1, 60), ("newest", 4, 50)]
    )
    young, killed = frozen("young", 5, 2), frozen("killed", 6, 40)
    (killed / "training_set.json").unlink()
    os.utime(young / "training_set.json", ((NOW - timedelta(days=2)).timestamp(),) * 2)
    set_champion(registry, FLEET, learned_from(registry, champion, 90))
    learned_from(registry, other, 80)
    size = sum(p.stat().st_size for p in refused.rglob("*") if p.is_file())

    would = prune_sets(registry, FLEET, NOW, dry_run=True)

    old = {place(registry, folder): folder for folder in (refused, copy, killed, newest)}
    assert {s.folder for s in would} == set(old)
    assert {s.bytes for s in would if old[s.folder] == refused} == {size}
    assert all(folder.is_dir() for folder in old.values())
    assert prune_sets(registry, FLEET, NOW) == would
    assert not any(folder.exists() for folder in old.values())
    if "://" not in registry.lake:
        assert not any(folder.parent.exists() for folder in old.values()), "nothing else was in the runs' folders"
    for folder in (champion, other, young):
        assert len(read_training_set(folder).rows) > 0
    assert prune_sets(registry, FLEET, NOW) == []


def test_the_newest_set_stays_for_a_search_however_old_it_is(registry: Settings, frozen: Freeze) -> None:
    older, newest = frozen("older", 1, 400), frozen("newest", 2, 300)

    assert [s.folder for s in prune_sets(registry, FLEET, NOW)] == [place(registry, older)]
    assert newest_training_set(registry, FLEET.fleet) == place(registry, newest)


def test_a_deleted_version_gives_its_set_free_and_its_model_stays(registry: Settings, frozen: Freeze) -> None:
    folder = frozen("a", 1, 90)
    frozen("newest", 2, 1)
    version = learned_from(registry, folder, 90)
    assert prune_sets(registry, FLEET, NOW) == []
    with client(registry) as mlflow:
        mlflow.delete_model_version(FLEET.fleet, version)

    assert [s.folder for s in prune_sets(registry, FLEET, NOW)] == [place(registry, folder)]
    assert (folder.exists(), (folder.parent / "trained" / "model.onnx").is_file()) == (False, True)


def test_a_copy_stays_where_the_set_that_the_version_names_is_gone(registry: Settings, frozen: Freeze) -> None:
    named, copy, _ = frozen("a", 1, 90), frozen("copy", 1, 80), frozen("newest", 2, 1)
    learned_from(registry, named, 90)
    for path in [p for p in named.rglob("*") if p.is_file()]:
        path.unlink()

    assert prune_sets(registry, FLEET, NOW) == []
    assert len(read_training_set(copy).rows) > 0


def test_a_registry_that_is_away_frees_no_set(offline_settings: Settings, frozen: Freeze) -> None:
    away = replace(offline_settings, mlflow_tracking_uri="http://127.0.0.1:1")
    folder = frozen("old", 1, 90)
    frozen("newest", 2, 1)

    with pytest.raises(RegistryError):
        prune_sets(away, FLEET, NOW)
    assert len(read_training_set(folder).rows) > 0
