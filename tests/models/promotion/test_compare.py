from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from aimaas.errors import RegistryError
from aimaas.fleet import FleetSpec
from aimaas.registry.versions import register
from aimaas.settings import Settings
from models.promotion.compare import compare
from models.promotion.promote import promote
from models.training.train import train
from tests.models.conftest import pump_fleet

MakeSet = Callable[..., Path]
BAD, GOOD = {"ridge": {"l2": 1e7}}, {"boosting": {"trees": 60}}


def registered(settings: Settings, fleet: FleetSpec, folder: Path, name: str) -> str:
    train(settings, fleet, folder, settings.home / name)
    return register(settings, fleet, settings.home / name)


def test_versions_of_one_training_set_are_compared_by_their_reports(registry: Settings, training_set: MakeSet) -> None:
    folder = training_set(pump_fleet())
    weak, strong = (registered(registry, pump_fleet(c), folder, n) for c, n in ((BAD, "weak"), (GOOD, "strong")))
    found = compare(registry, pump_fleet(), weak, strong)
    assert found.candidates == ("ridge", "boosting")
    first, second = found.metrics["rmse"]
    assert first is not None and second is not None and second < first
    assert found.metrics["baseline_rmse"][0] == found.metrics["baseline_rmse"][1]
    assert not [name for name in found.metrics if "." in name]


def test_versions_of_different_training_sets_are_asked_about_the_test_rows_of_the_later_one(
    registry: Settings, training_set: MakeSet
) -> None:
    fleet = pump_fleet(GOOD)
    older = registered(registry, fleet, training_set(fleet, 30, seed=1, gold=True), "older")
    newer = registered(registry, fleet, training_set(fleet, 50, seed=2, gold=True), "newer")
    found = compare(registry, fleet, newer, older)
    assert "test rows of version 2" in found.rows
    challenged = promote(registry, fleet, newer)
    assert found.metrics["rmse"][0] == pytest.approx(challenged.challenger_error)
    assert found.metrics["rmse"][1] != found.metrics["rmse"][0]


def test_an_unknown_version_is_one_clear_line(registry: Settings, training_set: MakeSet) -> None:
    with pytest.raises(RegistryError, match="no version '9'"):
        compare(registry, pump_fleet(), "9", "9")


def test_the_command_prints_one_json_object(
    registry: Settings, training_set: MakeSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    from cli.app import app

    fleet = pump_fleet()
    folder = training_set(fleet)
    for c, n in ((BAD, "weak"), (GOOD, "strong")):
        registered(registry, pump_fleet(c), folder, n)
    (tmp_path / "fleets").mkdir()
    (tmp_path / "fleets" / "pump.yaml").write_text(yaml.safe_dump(fleet.model_dump(mode="json")))
    monkeypatch.setenv("AIMAAS_HOME", str(registry.home))
    monkeypatch.setenv("AIMAAS_FLEETS", str(tmp_path / "fleets"))
    done = CliRunner().invoke(app, ["models", "compare", "1", "2", "--fleet", "pump", "--json"])
    assert done.exit_code == 0, done.output
    said = json.loads(done.output)
    assert said["versions"] == ["1", "2"] and said["metrics"]["rmse"][1] < said["metrics"]["rmse"][0]
    table = CliRunner().invoke(app, ["models", "compare", "1", "2", "--fleet", "pump"]).output
    assert "version 2 (boosting)" in table and "rmse" in table
