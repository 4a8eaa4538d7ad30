"""What chance had to do with it: devices are drawn again with replacement, a thousand times, by a seed.

Rows of one device resemble each other, so whole devices are drawn (the cluster bootstrap; Efron & Tibshirani: An introduction to
the bootstrap, 1993, chapters 8 and 13). A draw is a count for each device, and all draws are computed at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from models.evaluate import FALSE_ALARMS, Float64, Vector, metrics_of_sums, terms_of
from models.weights import Weights

DRAWS = 1_000

_SHARE = 0.95  # of the draws lie within the interval of a metric
_CELLS = 1_000_000  # of a matrix of draws and rows, 8 MB: so many are ranked at once


def metric_intervals(
    truth: Vector, predicted: Vector, devices: npt.NDArray[Any], classify: bool, seed: int, weights: Weights = None
) -> dict[str, tuple[float, float]]:
    """The interval of each metric that holds 95 % of the draws; none with fewer than two devices."""
    device, draws = _drawn(devices, seed)
    if draws.shape[1] < 2:
        return {}
    with np.errstate(invalid="ignore"):  # of a PHM08 score beyond any float
        found = metrics_of_sums(draws @ _by_device(terms_of(truth, predicted, classify, weights), device), classify)
    if classify:
        found |= _ranked_draws(truth, predicted, device, draws, weights)
    tails = (1 - _SHARE) / 2, (1 + _SHARE) / 2
    whole = {name: values[np.isfinite(values)] for name, values in found.items()}
    return {name: (float(q[0]), float(q[1])) for name, v in whole.items() if len(v) for q in [np.quantile(v, tails)]}


def _drawn(devices: npt.NDArray[Any], seed: int) -> tuple[npt.NDArray[np.intp], Float64]:
    """The number of each row's device (n,), and how often each draw (DRAWS, D) holds each device."""
    names, device = np.unique(devices.astype(str), return_inverse=True)
    d = len(names)
    return device, np.random.default_rng(seed).multinomial(d, np.full(d, 1 / d), DRAWS).astype(np.float64)


def _by_device(terms: Float64, device: npt.NDArray[np.intp]) -> Float64:
    """Sums (D, K) of the rows' terms (n, K)."""
    return np.stack([np.bincount(device, column) for column in terms.T], axis=1)


def _ranked_draws(
    truth: Vector, predicted: Vector, device: npt.NDArray[np.intp], draws: Float64, weights: Weights
) -> dict[str, Float64]:
    """PR-AUC and recall at 1 % false alarms of each draw (DRAWS,); NaN where a draw has rows of one label only."""
    step = max(1, _CELLS // len(truth))
    row = 1.0 if weights is None else weights
    parts = [_ranked(truth, predicted, draws[i : i + step, device] * row) for i in range(0, len(draws), step)]
    return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}


def _ranked(truth: Vector, predicted: Vector, weights: Float64) -> dict[str, Float64]:
    """Both metrics of rows (n,) that count as often as each of the weights (B, n) says, as scikit-learn defines them."""
    order = np.argsort(-predicted, kind="stable")
    cuts = np.append(np.flatnonzero(np.diff(predicted[order])), len(order) - 1)  # the last row of each score
    failed, counted = truth[order] > 0, weights[:, order]
    true = np.cumsum(counted * failed, axis=1)[:, cuts]
    false = np.cumsum(counted * ~failed, axis=1)[:, cuts]
    with np.errstate(divide="ignore", invalid="ignore"):
        recall, precision = true / true[:, -1:], np.where(true > 0, true / (true + false), 0)
        quiet = false / false[:, -1:] <= FALSE_ALARMS
        steps = np.diff(recall, axis=1, prepend=0.0)
    caught = np.max(np.where(quiet, recall, 0.0), axis=1)
    one_label = (true[:, -1] == 0) | (false[:, -1] == 0)
    found = {"pr_auc": (steps * precision).sum(axis=1), "recall_at_1pct_fpr": caught}
    return {name: np.where(one_label, np.nan, values) for name, values in found.items()}
