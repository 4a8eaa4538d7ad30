"""Metrics of predictions: the error by which candidates are compared, and the metrics of a report.

Metrics are computed from sums over rows (`terms_of`). So a resampling of devices only adds up the devices' sums, and the bootstrap
and the comparison with the champion use the same formulas (models/evaluation/resample.py).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.weights import Weights, mean

Vector = npt.NDArray[np.floating]
Float64 = npt.NDArray[np.float64]

FALSE_ALARMS = 0.01  # share of the negative rows that may raise an alarm, for `recall_at_1pct_fpr`

_SMALLEST = 1e-7  # probabilities are kept this far from 0 and 1, so that one certain mistake is not an infinite loss


def error_of(truth: Vector, predicted: Vector, classify: bool, weights: Weights = None) -> float:
    """Return the error by which candidates are compared, lower is better: RMSE, or mean log loss of a probability."""
    return log_loss(truth, predicted, weights) if classify else rmse(truth, predicted, weights)


def losses_of(truth: Vector, predicted: Vector, classify: bool, weights: Weights = None) -> Float64:
    """Return the contribution of each row (n,) to the sum in `error_of`: its squared error, or its log loss, times its weight."""
    y, p = truth.astype(np.float64), predicted.astype(np.float64)
    losses = _log_losses(y, p) if classify else (p - y) ** 2
    return losses if weights is None else losses * weights


def error_name(classify: bool) -> str:
    """Return the name of `error_of` among the metrics."""
    return "log_loss" if classify else "rmse"


def metrics_of(truth: Vector, predicted: Vector, classify: bool, weights: Weights = None) -> dict[str, float]:
    """Return all metrics of predictions (n,) against the truth (n,), by name; `weights` (n,) are the rows' weights.

    Metrics that need both labels are there only if both occur, and the PHM08 score only if it is finite: it was made for errors of
    some dozens of cycles and overflows with errors of thousands.
    """
    sums = terms_of(truth, predicted, classify, weights).sum(axis=0)
    found = {name: float(value) for name, value in metrics_of_sums(sums, classify).items() if np.isfinite(value)}
    return {**found, **_ranked(truth, predicted, weights)} if classify else found


def terms_of(truth: Vector, predicted: Vector, classify: bool, weights: Weights = None) -> Float64:
    """Return the contributions of each row (n, K) to the sums that `metrics_of_sums` reads."""
    y, p = truth.astype(np.float64), predicted.astype(np.float64)
    one, e = np.ones(len(y)), p - y
    if classify:
        terms = np.stack([one, _log_losses(y, p), e**2, y, y * (p >= 0.5)], axis=1)
    else:
        terms = np.stack([one, e**2, np.abs(e), _phm(e), y, y**2], axis=1)
    return terms if weights is None else terms * weights[:, None]


def metrics_of_sums(sums: Float64, classify: bool) -> dict[str, Float64]:
    """Return metrics of sums (..., K) over rows, each (...,).

    Regression: RMSE, MAE, R² (0 if the truth is constant), PHM08 score and its mean per row. Classification: log loss, Brier score
    and its root, and the recall at p >= 0.5 if there was a failure.
    """
    n = sums[..., 0]
    if classify:
        _, loss, squares, positive, found = np.moveaxis(sums, -1, 0)
        metrics = {"log_loss": loss / n, "brier": squares / n, "rmse": np.sqrt(squares / n)}
        recall = np.where(positive > 0, found / np.maximum(positive, 1), np.nan)
        return {**metrics, "recall": recall} if positive.any() else metrics
    _, squares, absolute, phm, y, yy = np.moveaxis(sums, -1, 0)
    spread = yy - y**2 / n
    steady = spread <= 1e-12 * np.maximum(yy, 1)
    r2 = np.where(steady, 0.0, 1 - squares / np.where(steady, 1, spread))
    return {
        "rmse": np.sqrt(squares / n), "mae": absolute / n, "r2": r2, "phm_score": phm, "phm_score_per_row": phm / n
    }  # fmt: skip


def rmse(truth: Vector, predicted: Vector, weights: Weights = None) -> float:
    """Return the root of the mean squared error."""
    return float(np.sqrt(mean(np.square(predicted.astype(np.float64) - truth), weights)))


def phm_score(truth: Vector, predicted: Vector) -> float:
    """Return the sum over predictions of exp(-d/13) - 1 for d < 0 and exp(d/10) - 1 else, d = predicted - true.

    Saxena, Goebel, Simon, Eklund: Damage propagation modeling for aircraft engine run-to-failure simulation, PHM 2008.
    """
    return float(_phm(predicted.astype(np.float64) - truth).sum())


def log_loss(truth: Vector, predicted: Vector, weights: Weights = None) -> float:
    """Return the mean of -log of the probability that was given to the true label."""
    return mean(_log_losses(truth, predicted.astype(np.float64)), weights)


def _phm(d: Float64) -> Float64:
    with np.errstate(over="ignore"):
        scores: Float64 = np.expm1(np.where(d < 0, -d / 13, d / 10))
    return scores


def _log_losses(truth: Vector, predicted: Float64) -> Float64:
    p = np.clip(predicted, _SMALLEST, 1 - _SMALLEST)
    losses: Float64 = -np.where(truth > 0, np.log(p), np.log1p(-p))
    return losses


def _ranked(truth: Vector, predicted: Vector, weights: Weights) -> dict[str, float]:
    """Return PR-AUC as average precision, and the largest recall at which at most 1 % of the negative rows raise an alarm."""
    from sklearn.metrics import average_precision_score, roc_curve

    failed = truth > 0
    if failed.all() or not failed.any():
        return {}
    false, true, _ = roc_curve(failed, predicted, sample_weight=weights, drop_intermediate=False)
    return {
        "pr_auc": float(average_precision_score(failed, predicted, sample_weight=weights)),
        "recall_at_1pct_fpr": float(true[false <= FALSE_ALARMS].max()),
    }
