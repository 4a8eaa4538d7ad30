from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_curve

from models.evaluation.evaluate import metrics_of
from models.evaluation.ranked_draws import Ranking
from models.evaluation.resample import metric_intervals
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


def test_ranked_metrics_of_drawn_devices_are_those_of_scikit_learn() -> None:
    random = np.random.default_rng(2)
    failed, chance = (random.random(200) < 0.2).astype(np.float32), np.round(random.random(200), 1).astype(np.float32)
    device, weights = random.integers(0, 40, 200), random.random(200)
    draws = random.integers(0, 3, (5, 40)).astype(np.float64)
    found = Ranking.of(failed, chance, device, weights).metrics(draws)
    for i, draw in enumerate(draws):
        weight = draw[device] * weights
        false, true, _ = roc_curve(failed, chance, sample_weight=weight, drop_intermediate=False)
        assert found["pr_auc"][i] == pytest.approx(average_precision_score(failed, chance, sample_weight=weight))
        assert found["recall_at_1pct_fpr"][i] == pytest.approx(true[false <= 0.01].max())


def test_a_draw_whose_rows_have_one_label_has_no_ranked_metric() -> None:
    failed, device = np.array([1, 0], np.float32), np.arange(2)
    found = Ranking.of(failed, np.array([0.9, 0.1], np.float32), device).metrics(np.array([[2.0, 0.0], [1.0, 1.0]]))
    assert np.isnan(found["pr_auc"]).tolist() == [True, False]
    assert found["recall_at_1pct_fpr"][1] == 1


def test_one_device_gives_no_interval() -> None:
    assert metric_intervals(TRUTH, guess(), np.zeros(len(TRUTH)), False, 7) == {}


def test_the_same_seed_gives_the_same_interval() -> None:
    first, second = (metric_intervals(TRUTH, guess(), DEVICES, False, 7) for _ in range(2))
    assert first == second != metric_intervals(TRUTH, guess(), DEVICES, False, 8)


def test_a_thousand_draws_of_many_devices_take_seconds_and_no_memory_by_row() -> None:
    random, devices, rows = np.random.default_rng(1), 4_000, 50
    failed = (random.random(devices * rows) < 0.1).astype(np.float32)
    chance = random.random(len(failed)).astype(np.float32)
    names = np.repeat(np.arange(devices), rows)
    metric_intervals(failed[:rows], chance[:rows], names[:rows] % 2, True, 7)  # compiled
    tracemalloc.start()
    began = time.monotonic()
    metric_intervals(failed, chance, names, True, 7)
    took, (_, peak) = time.monotonic() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert took < 60, "200 million cells: half a minute where each draw sorts its rows anew, two seconds here"
    assert peak < 2 * 1_000 * devices * 8 + 200 * len(failed)
