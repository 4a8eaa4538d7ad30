"""Weights of rows count in every figure as if the rows were there so often, and change nothing where all are 1."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aimaas.model.intervals import Bounds
from aimaas.settings import Settings
from aimaas.training.training_set import CensoringInfo, TrainingSetInfo, read_info, read_training_set, write_description
from models.evaluation.conformal import calibrate
from models.evaluation.evaluate import error_of, metrics_of
from models.evaluation.paired_test import compare
from models.evaluation.resample import metric_intervals
from models.export.export import run_onnx
from models.families.candidates import predict
from models.families.scikit import Fit, boosting, forest, mlp, ridge
from models.samples import Samples
from models.selection.stacking import learned_weights
from models.training.train import train
from tests.models.conftest import pump_fleet

Vector = npt.NDArray[np.floating]
RANDOM = np.random.default_rng(5)
N = 120
TIMES = RANDOM.integers(1, 5, N)
DEVICES = np.repeat(np.arange(12), 10)
CHANCE = RANDOM.uniform(0.01, 0.99, N).astype(np.float32)
FAILED = (RANDOM.random(N) < CHANCE).astype(np.float32)
LEFT, GUESS = RANDOM.uniform(0, 100, N), RANDOM.uniform(0, 100, N)
WEIGHT = TIMES.astype(np.float32)


@pytest.mark.parametrize(("truth", "said", "classify"), [(LEFT, GUESS, False), (FAILED, CHANCE, True)])
def test_a_weighted_row_counts_as_if_it_were_there_so_often(truth: Vector, said: Vector, classify: bool) -> None:
    often, answers, devices = np.repeat(truth, TIMES), np.repeat(said, TIMES), np.repeat(DEVICES, TIMES)
    assert metrics_of(truth, said, classify, WEIGHT) == pytest.approx(metrics_of(often, answers, classify))
    assert error_of(truth, said, classify, WEIGHT) == pytest.approx(error_of(often, answers, classify))
    mine, other = (
        metric_intervals(truth, said, DEVICES, classify, 7, WEIGHT),
        metric_intervals(often, answers, devices, classify, 7),
    )
    assert all(mine[name] == pytest.approx(other[name]) for name in other)
    found = compare(truth, said, said * 0.9, DEVICES, classify, 0.0, WEIGHT)
    assert found.p_value == pytest.approx(compare(often, answers, answers * 0.9, devices, classify, 0.0).p_value)
    members = np.stack([said, said[::-1]], axis=1).astype(np.float64)
    weights = learned_weights(members, truth, classify, WEIGHT)
    assert weights == pytest.approx(learned_weights(np.repeat(members, TIMES, axis=0), often, classify), abs=0.01)


FITS = [ridge(False), ridge(True), boosting(True, trees=20), forest(True, trees=20), mlp(False, networks=1, epochs=6)]


@pytest.mark.parametrize("fit", FITS, ids=["ridge", "logistic", "boosting", "forest", "mlp"])
def test_estimators_learn_what_the_weighted_rows_say(fit: Fit) -> None:
    """Two devices in three are calm, but rows of the others weigh twenty times as much."""
    n = 600
    target = (np.arange(n) % 3 == 0).astype(np.float32)
    features = np.random.default_rng(1).normal(size=(n, 2)).astype(np.float32)
    devices = np.arange(n) // 10
    weight = np.where(target > 0, 20, 1).astype(np.float32)
    plain, weighted = (fit(Samples(features, target, devices, *w), 3) for w in ((), (weight,)))
    said = [
        (m.predict_proba(features)[:, 1] if hasattr(m, "predict_proba") else m.predict(features)).mean()
        for m in (plain, weighted)
    ]
    assert said[0] == pytest.approx(1 / 3, abs=0.1)
    assert said[1] == pytest.approx(20 / 22, abs=0.1)


@pytest.mark.parametrize("fit", FITS, ids=["ridge", "logistic", "boosting", "forest", "mlp"])
def test_weights_of_1_leave_every_bit_as_it_is_without_weights(fit: Fit) -> None:
    target = (np.arange(N) % 3 == 0).astype(np.float32)
    features = np.random.default_rng(1).normal(size=(N, 2)).astype(np.float32)
    plain, ones = (fit(Samples(features, target, DEVICES, *w), 3) for w in ((), (np.ones(N, np.float32),)))
    assert predict(plain, features).tobytes() == predict(ones, features).tobytes()
    said = predict(plain, features)
    assert metrics_of(target, said, True, Samples(features, target, DEVICES).sample_weight) == metrics_of(
        target, said, True
    )


def test_learners_without_weights_are_given_rows_as_often_as_they_weigh() -> None:
    samples = Samples(np.zeros((N, 1), np.float32), LEFT.astype(np.float32), DEVICES, WEIGHT)
    drawn = samples.resampled(3)
    assert drawn.sample_weight is None
    assert len(drawn) == pytest.approx(N, rel=0.1)
    assert drawn.targets.mean() == pytest.approx(np.average(LEFT, weights=WEIGHT), rel=0.1)
    same = Samples(samples.features, samples.targets, samples.devices)
    assert same.resampled(3) is same


def test_an_interval_covers_nine_tenths_of_the_weight() -> None:
    devices = np.repeat(np.arange(100), 10)
    truth = np.random.default_rng(3).uniform(0, 20, 1_000)
    weight = np.where(truth > 10, 9.0, 1.0)
    made = calibrate(np.zeros(1_000), truth, devices, (0.0, 100.0), "nested cross-validation", weight)
    lower, upper = Bounds(made, (0.0, 100.0)).of(np.zeros(1_000, np.float32))
    assert np.average((lower <= truth) & (truth <= upper), weights=weight) == pytest.approx(0.9, abs=0.01)


def test_a_training_on_weighted_rows_reports_weighted_figures_and_says_what_was_cut(
    offline_settings: Settings, training_set: Callable[..., Path], tmp_path: Path
) -> None:
    fleet = pump_fleet({"ridge": {}})
    folder = training_set(fleet)
    _weigh(folder)
    report = train(offline_settings, fleet, folder, tmp_path / "out")
    test = read_training_set(folder).rows.of("test")
    said = run_onnx((tmp_path / "out" / "model.onnx").read_bytes(), test.features)
    assert report.metrics["rmse"] == pytest.approx(error_of(test.label, said, False, test.weight))
    assert report.metrics["rmse"] != pytest.approx(error_of(test.label, said, False))
    assert report.censoring is not None and (report.censoring.cut, report.resampled) == (3, [])
    assert report.censoring.largest_weight == 4
    card = (tmp_path / "out" / "card" / "model_card.md").read_text()
    assert "Labels under censoring" in card


def _weigh(folder: Path) -> TrainingSetInfo:
    """Give the rows of a training set weights from 1 to 4."""
    info, file = read_info(folder), folder / "rows" / "part-0.parquet"
    rows = pq.read_table(file)
    weight = pa.array(np.arange(len(rows)) % 4 + 1, pa.float32())
    pq.write_table(rows.append_column("weight", weight), file)
    failures = {name: counts.failures for name, counts in info.splits.items()}
    censoring = CensoringInfo("age", 50, 40, unknown=7, cut=3)
    return write_description(
        folder, (info.fleet, info.fleet_version), info.plan, info.fit, info.gold_version, failures, censoring=censoring
    )
