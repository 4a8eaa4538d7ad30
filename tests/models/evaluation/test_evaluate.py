from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from models.evaluation.evaluate import error_of, log_loss, metrics_of, phm_score


def test_late_predictions_cost_more_than_early_ones_in_the_phm_score() -> None:
    truth = np.array([50.0, 50.0])
    assert phm_score(truth[:1], np.array([60.0])) == pytest.approx(np.e - 1)
    assert phm_score(truth[:1], np.array([37.0])) == pytest.approx(np.e - 1)
    assert phm_score(truth, np.array([60.0, 37.0])) == pytest.approx(2 * (np.e - 1))


def test_regression_metrics_of_known_errors() -> None:
    found = metrics_of(np.array([0.0, 10.0]), np.array([1.0, 7.0]), classify=False)
    assert found["mae"] == 2.0
    assert found["rmse"] == pytest.approx(5**0.5)
    assert found["r2"] == pytest.approx(1 - 5 / 25)


def test_errors_for_which_the_phm_score_was_not_made_leave_it_out() -> None:
    found = metrics_of(np.array([0.0, 10.0]), np.array([90_000.0, 7.0]), classify=False)
    assert set(found) == {"rmse", "mae", "r2"}


def test_metrics_are_those_of_scikit_learn() -> None:
    random = np.random.default_rng(1)
    truth, predicted = random.uniform(0, 100, 500), random.uniform(0, 100, 500)
    found = metrics_of(truth, predicted, classify=False)
    assert found["rmse"] == pytest.approx(metrics.root_mean_squared_error(truth, predicted))
    assert found["mae"] == pytest.approx(metrics.mean_absolute_error(truth, predicted))
    assert found["r2"] == pytest.approx(metrics.r2_score(truth, predicted))
    failed, chance = (truth < 30).astype(np.float32), np.clip(predicted / 100, 0.01, 0.99)
    found = metrics_of(failed, chance, classify=True)
    assert found["brier"] == pytest.approx(metrics.brier_score_loss(failed, chance))
    assert found["log_loss"] == pytest.approx(metrics.log_loss(failed, chance))
    assert found["recall"] == pytest.approx(metrics.recall_score(failed, chance >= 0.5))


def test_the_recall_at_few_false_alarms_is_that_of_the_lowest_threshold_that_is_quiet_enough() -> None:
    truth = np.r_[np.zeros(200), np.ones(4)]
    predicted = np.r_[0.9, 0.8, 0.7, np.zeros(197), 0.95, 0.85, 0.75, 0.1]
    assert metrics_of(truth, predicted, classify=True)["recall_at_1pct_fpr"] == 0.75  # two of 200 alarms are 1 %


def test_a_sure_mistake_costs_much_but_not_everything() -> None:
    truth = np.array([1.0, 0.0], np.float32)
    assert 5 < log_loss(truth, np.array([0.0, 0.0])) < 10
    assert error_of(truth, np.array([0.5, 0.5]), classify=True) == pytest.approx(np.log(2))


def test_classification_without_a_failure_has_no_precision_or_recall() -> None:
    found = metrics_of(np.zeros(3, np.float32), np.array([0.1, 0.2, 0.3]), classify=True)
    assert set(found) == {"log_loss", "brier", "rmse"}
    found = metrics_of(np.array([0, 1], np.float32), np.array([0.1, 0.9]), classify=True)
    assert (found["pr_auc"], found["recall"]) == (1.0, 1.0)
