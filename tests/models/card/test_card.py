"""A model card says what a version is, for people, without anything beside it."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from aimaas.registry.mlflow_store import CARD_FOLDER, CARD_NAME, client
from aimaas.registry.versions import register, show_model
from aimaas.settings import Settings
from aimaas.training.report import Normalisation
from aimaas.training.rows import Rows
from models.card.histories import shown_runs
from models.card.plots import bands
from models.card.tables import tables_of
from models.training.train import train
from tests.models.conftest import pump_fleet

pytestmark = pytest.mark.rendered
MakeSet = Callable[..., Path]
QUICK = {"ridge": {}, "boosting": {"trees": 20}, "mlp": {"epochs": 4, "networks": 2}, "blend": {}}
REGRESSION = {
    "predicted_against_true",
    "error_by_band",
    "interval_coverage",
    "histories",
    "importance",
    "learning_curves",
}
CLASSIFICATION = {"precision_recall", "calibration", "histories", "importance", "learning_curves"}


def pictures(page: str) -> list[bytes]:
    return [b64decode(found) for found in re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', page)]


@pytest.mark.parametrize(("classify", "names"), [(False, REGRESSION), (True, CLASSIFICATION)])
def test_a_training_leaves_a_card_with_its_pictures_inside_and_the_same_as_markdown(
    offline_settings: Settings, training_set: MakeSet, tmp_path: Path, classify: bool, names: set[str]
) -> None:
    fleet = pump_fleet({k: v for k, v in QUICK.items() if k != "ridge"}, classify)
    report = train(offline_settings, fleet, training_set(fleet), tmp_path)
    folder = tmp_path / CARD_FOLDER
    page, text = (folder / CARD_NAME).read_text(), (folder / "model_card.md").read_text()
    inside = pictures(page)
    assert len(inside) >= len(names) - 1
    for svg in inside:
        assert svg.startswith(b"<?xml") and svg.rstrip().endswith(b"</svg>")
    files = {path.stem for path in folder.glob("*.svg")}
    assert files <= names and set(re.findall(r"\]\((\w+)\.svg\)", text)) == files
    assert sorted(inside) == sorted(path.read_bytes() for path in folder.glob("*.svg"))
    for said in (report.sha256, report.digest, report.code_version, *(c.name for c in report.candidates)):
        assert said in page and said in text
    assert "microseconds per row, 1,000 at once" in text
    assert "settings explain" not in text, "settings that explain nothing are not spoken of"
    assert not re.search(r'(src|href)="(?!data:)', page)  # nothing is fetched from elsewhere


def test_the_card_says_how_settings_were_taken_out(
    offline_settings: Settings, training_set: MakeSet, tmp_path: Path
) -> None:
    fleet = pump_fleet({"ridge": {}})
    report = train(offline_settings, fleet, training_set(fleet), tmp_path)
    told = Normalisation(4, True, 0.834)
    tables = tables_of(fleet, msgspec.structs.replace(report, normalisation=told), 1, {})
    (found,) = [table for table in tables if table.title == "Normalisation"]
    assert [row[1] for row in found.rows] == ["4", "yes", "83.4%"]


def test_the_learning_curves_of_all_members_of_a_blend_are_drawn(
    offline_settings: Settings, training_set: MakeSet, tmp_path: Path
) -> None:
    fleet = pump_fleet({"blend": {"of": ["boosting", "mlp"]}, "boosting": {"trees": 20}, "mlp": QUICK["mlp"]})
    report = train(offline_settings, fleet, training_set(fleet), tmp_path)
    if report.chosen != "ridge":
        assert (tmp_path / CARD_FOLDER / "learning_curves.svg").is_file()


def test_the_registry_keeps_the_card_with_the_run_and_says_where_it_is(
    registry: Settings, training_set: MakeSet, tmp_path: Path
) -> None:
    fleet = pump_fleet()
    train(registry, fleet, training_set(fleet), tmp_path)
    shown = show_model(registry, fleet, register(registry, fleet, tmp_path))
    assert shown["card"].endswith(f"/{CARD_FOLDER}/{CARD_NAME}")
    with client(registry) as mlflow:
        kept = Path(mlflow.download_artifacts(shown["run_id"], CARD_FOLDER))
        assert (kept / CARD_NAME).read_bytes() == (tmp_path / CARD_FOLDER / CARD_NAME).read_bytes()


def test_bands_of_the_truth_hold_every_row_once_and_empty_ones_are_left_out() -> None:
    truth = np.array([0, 1, 30, 99, 100, 100], np.float32)
    found = bands(truth, 100)
    assert [name for name, _ in found] == ["0–20", "20–40", "80–100", "100 or more"]
    assert np.sum([rows for _, rows in found], axis=0).tolist() == [1] * 6


def test_shown_runs_go_from_the_best_predicted_to_the_worst_and_short_ones_are_left_out() -> None:
    device = np.repeat([f"d-{i}" for i in range(10)], 6).astype(object)
    device[-4:] = "short"
    n = len(device)
    error = np.repeat(np.arange(10), 6)[::-1].astype(np.float32)
    zero = np.zeros(n, np.int64)
    rows = Rows(device, zero, np.arange(n), np.repeat("test", n).astype(object), error * 0, error[:, None])
    names = [name for name, _, _ in shown_runs(rows, error)]
    assert len(names) == 6 and "short" not in names
    assert names[0] == "d-8" and names[-1] == "d-0"
