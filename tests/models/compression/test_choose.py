"""A training tries forms of its candidate, ships one, and says of each what it found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from aimaas.registry.mlflow_store import CARD_FOLDER
from aimaas.registry.versions import register, show_model
from aimaas.settings import Settings
from aimaas.training.training_set import read_training_set
from models.compression import shipped, trial_data
from models.export.export import run_onnx
from models.promotion.promote import metadata_of
from models.training.train import train
from tests.models.conftest import pump_fleet

MakeSet = Callable[..., Path]
NETWORKS = {"mlp": {"epochs": 6, "networks": 2}}


def test_a_training_ships_the_cheapest_form_and_the_file_the_card_and_the_registry_name_all_of_them(
    registry: Settings, training_set: MakeSet, tmp_path: Path
) -> None:
    fleet = pump_fleet(NETWORKS, gates={"accuracy_allowance": 0.2})
    report = train(registry, fleet, training_set(fleet, devices=60), tmp_path)
    ships = [f for f in report.forms if f.verdict == "ships"]
    within = [f for f in report.forms if f.verdict in ("ships", "within the allowance")]
    assert [f.name for f in ships] == [report.form] != ["plain"]
    assert ships[0].cost_us == min(f.cost_us or 0 for f in within)
    assert all(f.us_1 and f.us_1024 and f.error and f.bytes for f in report.forms)
    metadata = metadata_of((tmp_path / "model.onnx").read_bytes())
    assert metadata.form == report.form and metadata.forms.keys() == {f.name for f in report.forms}
    assert metadata.intervals is not None
    assert report.metrics["rmse"] < report.metrics["plain_rmse"] * 1.3
    text = (tmp_path / CARD_FOLDER / "model_card.md").read_text()
    assert f"| {report.form} (chosen) |" in text and "| plain |" in text
    shown = show_model(registry, fleet, register(registry, fleet, tmp_path))
    assert shown["form"] == shown["params"]["form"] == report.form
    assert shown["metrics"][f"form_us_1.{report.form}"] == ships[0].us_1


def test_forms_and_intervals_are_chosen_without_a_look_at_the_test_devices(
    offline_settings: Settings, training_set: MakeSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = pump_fleet({"boosting": {"trees": 20}})
    folder = training_set(fleet)
    rows = read_training_set(folder).rows
    asked: list[bytes] = []

    def heard(content: bytes, features: np.ndarray) -> np.ndarray:
        asked.extend(row.tobytes() for row in features)
        return run_onnx(content, features)

    for module in (trial_data, shipped):
        monkeypatch.setattr(module, "run_onnx", heard)
    train(offline_settings, fleet, folder, tmp_path)
    seen, test = set(asked), {row.tobytes() for row in rows.of("test").features}
    assert seen and not seen & test


def test_without_an_allowance_nothing_less_accurate_ships(
    offline_settings: Settings, training_set: MakeSet, tmp_path: Path
) -> None:
    fleet = pump_fleet({"boosting": {"trees": 20}}, classify=True, gates={"accuracy_allowance": 0})
    report = train(offline_settings, fleet, training_set(fleet), tmp_path)
    errors = {f.name: f.error for f in report.forms if f.error is not None}
    assert errors[report.form] == min(errors.values())
