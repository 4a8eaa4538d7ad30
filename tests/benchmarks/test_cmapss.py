"""The C-MAPSS benchmarks read the published files as they are meant, and count by engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cmapss_intervals import Judged, figures_of

from aimaas.fleet import FleetSpec, load_fleet
from aimaas.model.intervals import Intervals
from aimaas.training.split import split_of
from aimaas.training.training_set import read_training_set
from model_bench.cmapss_data import freeze, judged_rows, lives, training_engines
from stream.devices.simulator import simulate
from tests.conftest import FLEETS


@pytest.fixture(scope="module")
def fleet() -> FleetSpec:
    return load_fleet(FLEETS / "turbofan.yaml")


@pytest.fixture(scope="module")
def data(fleet: FleetSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files in the published form: 20 engines that ran to failure, and 3 that were cut off with 7, 40 and 200 cycles to go."""
    folder = tmp_path_factory.mktemp("cmapss")
    whole = simulate(fleet, 20, 1)
    np.savetxt(folder / "train_FD001.txt", np.column_stack([whole.device + 1, whole.seq, whole.values]), fmt="%.6g")
    cut = simulate(fleet, 3, 2)
    kept = cut.seq <= 50
    np.savetxt(folder / "test_FD001.txt", np.column_stack([cut.device + 1, cut.seq, cut.values])[kept], fmt="%.6g")
    (folder / "RUL_FD001.txt").write_text("7\n40\n200\n")
    return folder


def test_training_engines_are_split_by_the_hash_of_their_names_and_labelled_to_their_failure(
    fleet: FleetSpec, data: Path, tmp_path: Path
) -> None:
    engines = training_engines(fleet, data, "FD001")
    rows = read_training_set(freeze(fleet, engines, tmp_path / "set")).rows
    assert len(rows) == len(engines) and rows.device_id[0] == "train-FD001-001"
    assert [split_of(d, fleet.split) for d in rows.device_id] == rows.split.tolist()
    last = np.append(rows.device_id[1:] != rows.device_id[:-1], True)
    assert set(rows.label[last]) == {0.0}
    assert rows.label.max() == 125


def test_the_truth_of_a_test_engine_counts_back_from_what_the_file_says_of_its_last_row(
    fleet: FleetSpec, data: Path, tmp_path: Path
) -> None:
    info = read_training_set(freeze(fleet, training_engines(fleet, data, "FD001"), tmp_path / "set")).info
    found = judged_rows(fleet, info.fit, data, "FD001")
    assert found.truth[found.last].tolist() == [7, 40, 125]
    assert found.truth[found.engine == 0].tolist() == list(range(56, 6, -1))
    assert found.features.shape == (150, len(info.plan.feature_names))
    assert lives(fleet, data, "FD001").tolist() == [57, 90, 250]
    assert np.isfinite(found.features).all()


def test_coverage_is_the_mean_over_engines_in_all_and_in_each_band() -> None:
    """Engine 1 is covered in none of its two rows, engine 0 in nine of its ten; engine 2 has rows in the other band alone."""
    truth = np.array([10.0] * 10 + [10, 10] + [80, 80])
    said = np.array([10.0] * 9 + [30] + [20, 20] + [80, 80], np.float32)
    engine = np.array([0] * 10 + [1, 1] + [2, 2])
    last, life = np.append(np.diff(engine) != 0, True), np.array([100, 200, 300])[engine]
    found = figures_of(
        Intervals(0.9, (50.0,), (-5.0, -9.0), (5.0, 9.0), 20, "x"), Judged(said, truth, engine, last, life)
    )
    assert [(b["of"], b["engines"], b["coverage"], b["width"]) for b in found["bands"]] == [
        ("0 to 50", 2, 0.45, 10.0),
        ("50 to 125", 1, 1.0, 18.0),
    ]
    assert [b["contains"] for b in found["bands"]] == [True, None], "one engine alone has no interval"
    assert found["coverage"] == pytest.approx((0.9 + 0 + 1) / 3, abs=1e-4)
    assert {b["of"]: b["coverage"] for b in found["by_wear"]} == {"fast": 0.9, "middle": 0.0, "slow": 1.0}
    assert [b["of"] for b in found["by_true_life"]] == ["0 to 25", "75 to 100"]
