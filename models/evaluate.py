"""How good predictions are: errors by which candidates are compared, and the metrics of a report."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.floating]

_SMALLEST = 1e-7  # a probability is held this far from 0 and 1, so that one sure mistake is not an infinite loss


def error_of(truth: Vector, predicted: Vector, classify: bool) -> float:
    """What candidates are compared by, lower is better: RMSE, or mean log loss of a probability."""
    return log_loss(truth, predicted) if classify else rmse(truth, predicted)


def error_name(classify: bool) -> str:
    """Name of `error_of` among the metrics."""
    return "log_loss" if classify else "rmse"


def metrics_of(truth: Vector, predicted: Vector, classify: bool) -> dict[str, float]:
    """All metrics of predictions (n,) against the truth (n,), by name."""
    return _classification(truth, predicted) if classify else _regression(truth, predicted)


def rmse(truth: Vector, predicted: Vector) -> float:
    """Root of the mean squared error."""
    return float(np.sqrt(np.mean(np.square(predicted.astype(np.float64) - truth))))


def phm_score(truth: Vector, predicted: Vector) -> float:
    """Sum over predictions of exp(-d/13) - 1 for d < 0 and exp(d/10) - 1 else, d = predicted - true.

    Saxena, Goebel, Simon, Eklund: Damage propagation modeling for aircraft engine run-to-failure simulation, PHM 2008.
    """
    d = predicted.astype(np.float64) - truth
    return float(np.sum(np.expm1(np.where(d < 0, -d / 13, d / 10))))


def log_loss(truth: Vector, predicted: Vector) -> float:
    """Mean of -log of the probability given to what happened."""
    p = np.clip(predicted.astype(np.float64), _SMALLEST, 1 - _SMALLEST)
    return float(-np.mean(np.where(truth > 0, np.log(p), np.log1p(-p))))


def _regression(truth: Vector, predicted: Vector) -> dict[str, float]:
    """RMSE, MAE, R² (0 where the truth is constant) and the mean PHM08 score per row."""
    spread = float(np.mean(np.square(truth - truth.mean(dtype=np.float64))))
    error = rmse(truth, predicted)
    return {
        "rmse": error,
        "mae": float(np.mean(np.abs(predicted.astype(np.float64) - truth))),
        "r2": 1 - error**2 / spread if spread else 0.0,
        "phm_score": phm_score(truth, predicted),
        "phm_score_per_row": phm_score(truth, predicted) / len(truth),
    }


def _classification(truth: Vector, predicted: Vector) -> dict[str, float]:
    """Log loss, Brier score and its root, recall at p >= 0.5, and PR-AUC; the last two only where there was a failure."""
    from sklearn.metrics import average_precision_score

    brier = float(np.mean(np.square(predicted.astype(np.float64) - truth)))
    found = {"log_loss": log_loss(truth, predicted), "brier": brier, "rmse": brier**0.5}
    if truth.any():
        found["pr_auc"] = float(average_precision_score(truth > 0, predicted))
        found["recall"] = float(np.mean(predicted[truth > 0] >= 0.5))
    return found
