from __future__ import annotations

import time

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_curve

from models.evaluate import metrics_of
from models.resample import _ranked, metric_intervals
from tests.models.guesses import DEVICES, TRUTH, guess


def test_the_interval_of_every_regression_metric_holds_its_value_and_more_devices_narrow_it() -> None:
    found, values = metric_intervals(TRUTH, guess(), DEVICES, False, 7), metrics_of(TRUTH, guess(), False)
    assert set(found) == set(values) == {"rmse", "mae", "r2", "phm_score", "phm_score_per_row"}
    assert all(low < values[name] < high for name, (low, high) in found.items())
    alike = metric_intervals(TRUTH, guess(), np.arange(len(TRUTH)), False, 7)
    assert alike["rmse"][1] - alike["rmse"][0] < found["rmse"][1] - found["rmse"][0]


def test_the_interval_of_every_classification_metric_holds_its_value() -> None:
    failed = (TRUTH < 20).astype(np.float32)
    chance = (1 / (1 + np.exp((guess() - 20) / 5))).astype(np.float32)
    found, values = metric_intervals(failed, chance, DEVICES, True, 7), metrics_of(failed, chance, True)
    assert set(found) == set(values) == {"log_loss", "brier", "rmse", "recall", "pr_auc", "recall_at_1pct_fpr"}
    assert all(low < values[name] < high for name, (low, high) in found.items())


def test_ranked_metrics_of_resampled_rows_are_those_of_scikit_learn() -> None:
    random = np.random.default_rng(2)
    failed, chance = random.random(200) < 0.2, np.round(random.random(200), 1).astype(np.float32)
    weights = random.integers(0, 3, (5, 200)).astype(np.float64)
    found = _ranked(failed, chance, weights)
    for i, weight in enumerate(weights):
        false, true, _ = roc_curve(failed, chance, sample_weight=weight, drop_intermediate=False)
        assert found["pr_auc"][i] == pytest.approx(average_precision_score(failed, chance, sample_weight=weight))
        assert found["recall_at_1pct_fpr"][i] == pytest.approx(true[false <= 0.01].max())


def test_one_device_gives_no_interval() -> None:
    assert metric_intervals(TRUTH, guess(), np.zeros(len(TRUTH)), False, 7) == {}


def test_the_same_seed_gives_the_same_interval() -> None:
    first, second = (metric_intervals(TRUTH, guess(), DEVICES, False, 7) for _ in range(2))
    assert first == second != metric_intervals(TRUTH, guess(), DEVICES, False, 8)


def test_a_thousand_draws_of_many_rows_take_seconds() -> None:
    failed = np.tile((TRUTH < 20).astype(np.float32), 20)
    chance = np.random.default_rng(1).random(len(failed)).astype(np.float32)
    began = time.monotonic()
    metric_intervals(failed, chance, np.tile(DEVICES, 20), True, 7)
    assert time.monotonic() - began < 20
