"""Networks over the window: as exact when exported, as repeatable and as blendable as any other candidate."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aimaas.errors import TrainingRefusedError
from aimaas.fleet.candidate_families import SEQUENCE_FAMILIES
from aimaas.model.artefact import sha256
from aimaas.records.events import Announcement
from aimaas.settings import Settings
from aimaas.training.training_set import read_training_set
from models.export.export import run_onnx
from models.families.candidates import candidates_of
from models.promotion.promote import metadata_of
from models.training.train import train
from stream.model.load import Model, load_model
from tests.artefacts import stored
from tests.models.conftest import pump_fleet

MakeSet = Callable[..., Path]
SHORT = {"epochs": 6, "networks": 1, "batch": 64, "rate": 0.004}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "trained"


def served(settings: Settings, fleet: Any, path: Path) -> Model:
    """The file as the scorer loads it, its smoke run in calls of several sizes included."""
    about, content = metadata_of(path.read_bytes()), path.read_bytes()
    at, path = datetime(2026, 11, 25, tzinfo=UTC), stored(settings, "model.onnx", content)
    return load_model(
        Announcement("champion", "1", 1, str(path), sha256(content), about.plan.hash, about.fit.id, at), fleet, settings
    )


@pytest.mark.parametrize("classify", [False, True])
@pytest.mark.parametrize("name", SEQUENCE_FAMILIES)
def test_each_family_learns_passes_the_parity_gate_and_gives_the_same_bits_however_rows_are_cut(
    offline_settings: Settings, training_set: MakeSet, out: Path, name: str, classify: bool
) -> None:
    fleet = pump_fleet({name: {**SHORT, **({"channels": [8, 8]} if name == "cnn" else {"layers": 2})}}, classify)
    folder = training_set(fleet)

    report = train(offline_settings, fleet, folder, out)

    assert report.metrics["rmse"] < report.metrics["baseline_rmse"] / 1.3
    assert max(report.metrics["parity_max_rel"], report.metrics["parity_max_rel_probes"]) <= 1e-5
    model, rows = served(offline_settings, fleet, out / "model.onnx"), read_training_set(folder).rows.features[:400]
    assert model.kernel.width == rows.shape[1] == 2 * 5 + 1 + 2 * 6
    whole = model.predict(rows)
    for size in (1, 2, 3, 5, 7, 16, 33, 127):
        cut = np.concatenate([model.predict(part) for part in np.split(rows, range(size, len(rows), size))])
        assert np.array_equal(cut, whole), size


@pytest.mark.parametrize("name", SEQUENCE_FAMILIES)
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(
    offline_settings: Settings, training_set: MakeSet, tmp_path: Path, name: str
) -> None:
    fleet = pump_fleet({name: {**SHORT, "dropout": 0.3}})
    folder, digests = training_set(fleet), []
    for i, seed in enumerate((7, 7, 8)):
        training = fleet.training.model_copy(update={"seed": seed})
        seeded = fleet.model_copy(update={"training": training})
        digests.append(train(offline_settings, seeded, folder, tmp_path / str(i)).sha256)
    assert digests[0] == digests[1] != digests[2]


def trained_among_trees(settings: Settings, folder: Path, out: Path, candidates: dict[str, Any]) -> tuple[Any, bytes]:
    report = train(settings, pump_fleet(candidates), folder, out)
    return report, (out / "model.onnx").read_bytes()


def test_a_blend_reads_the_vector_and_the_window_and_a_tree_alone_is_served_the_vector(
    offline_settings: Settings, training_set: MakeSet, tmp_path: Path
) -> None:
    boosting, folder = {"trees": 30}, training_set(pump_fleet({"cnn": {}}))
    bad = {"epochs": 1, "networks": 1, "rate": 1e-6}  # one that learns nothing: the tree is chosen

    report, content = trained_among_trees(
        offline_settings, folder, tmp_path / "tree", {"cnn": bad, "boosting": boosting}
    )
    assert report.chosen == "boosting"
    plan, rows = metadata_of(content).plan, read_training_set(folder).rows
    assert plan == read_training_set(folder).info.plan.vector_only
    assert run_onnx(content, rows.features[:, : len(plan.feature_names)]).shape == (len(rows),)

    from models.promotion.promote import features_for

    shown = features_for(offline_settings, pump_fleet({"cnn": {}}), content, read_training_set(folder))
    assert np.array_equal(shown, rows.of("test").features[:, : len(plan.feature_names)])

    blend = {"cnn": {"epochs": 8}, "boosting": boosting, "blend": {}}
    report, content = trained_among_trees(offline_settings, folder, tmp_path / "blend", blend)
    members = {c.name: c.validation for c in report.candidates}
    assert members["blend"] < max(members["cnn"], members["boosting"])
    if report.chosen == "blend":
        assert metadata_of(content).plan == read_training_set(folder).info.plan


def test_a_mistaken_option_is_one_line_with_its_place(offline_settings: Settings) -> None:
    with pytest.raises(TrainingRefusedError, match=r"training\.candidates\.gru\.schedule: found 'step', allowed: "):
        candidates_of(pump_fleet({"gru": {"schedule": "step"}}))
    with pytest.raises(TrainingRefusedError, match=r"training\.candidates\.cnn\.units: no such key; allowed: channels"):
        candidates_of(pump_fleet({"cnn": {"units": 3}}))
