from __future__ import annotations

import numpy as np
import pytest

from models.evaluate import error_of, log_loss, metrics_of, phm_score


def test_late_predictions_cost_more_than_early_ones_in_the_phm_score() -> None:
    truth = np.array([50.0, 50.0])
    assert phm_score(truth[:1], np.array([60.0])) == pytest.approx(np.e - 1)
    assert phm_score(truth[:1], np.array([37.0])) == pytest.approx(np.e - 1)
    assert phm_score(truth, np.array([60.0, 37.0])) == pytest.approx(2 * (np.e - 1))


def test_regression_metrics_of_known_errors() -> None:
    found = metrics_of(np.array([0.0, 10.0]), np.array([1.0, 7.0]), classify=False)
    assert (found["mae"], found["rmse"]) == (2.0, pytest.approx(5**0.5))
    assert found["r2"] == pytest.approx(1 - 5 / 25)


def test_a_sure_mistake_costs_much_but_not_everything() -> None:
    truth = np.array([1.0, 0.0], np.float32)
    assert 5 < log_loss(truth, np.array([0.0, 0.0])) < 10
    assert error_of(truth, np.array([0.5, 0.5]), classify=True) == pytest.approx(np.log(2))


def test_classification_without_a_failure_has_no_precision_or_recall() -> None:
    found = metrics_of(np.zeros(3, np.float32), np.array([0.1, 0.2, 0.3]), classify=True)
    assert set(found) == {"log_loss", "brier", "rmse"}
    found = metrics_of(np.array([0, 1], np.float32), np.array([0.1, 0.9]), classify=True)
    assert (found["pr_auc"], found["recall"]) == (1.0, 1.0)
