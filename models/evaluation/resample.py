"""Resampling intervals: devices are drawn with replacement a thousand times, by a seed.

Rows of one device resemble each other, so whole devices are drawn (the cluster bootstrap; Efron & Tibshirani: An introduction to
the bootstrap, 1993, chapters 8 and 13). A draw is a count for each device, and all draws are computed at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from models.evaluation.evaluate import Float64, Vector, metrics_of_sums, terms_of
from models.evaluation.ranked_draws import Ranking
from models.weights import Weights

DRAWS = 1_000

_SHARE = 0.95  # of the draws lie within the interval of a metric


def metric_intervals(
    truth: Vector, predicted: Vector, devices: npt.NDArray[Any], classify: bool, seed: int, weights: Weights = None
) -> dict[str, tuple[float, float]]:
    """Return the interval of each metric that holds 95 % of the draws; none with fewer than two devices."""
    device, draws = drawn(devices, seed)
    if draws.shape[1] < 2:
        return {}
    with np.errstate(invalid="ignore"):  # of a PHM08 score beyond any float
        found = metrics_of_sums(draws @ _by_device(terms_of(truth, predicted, classify, weights), device), classify)
    if classify:
        found |= Ranking.of(truth, predicted, device, weights).metrics(draws)
    whole = {name: values[np.isfinite(values)] for name, values in found.items()}
    return {name: middle_share(values) for name, values in whole.items() if len(values)}


def middle_share(values: Float64) -> tuple[float, float]:
    """Return the bounds that hold 95 % of the draws' values (B,)."""
    low, high = np.quantile(values, ((1 - _SHARE) / 2, (1 + _SHARE) / 2))
    return float(low), float(high)


def drawn(devices: npt.NDArray[Any], seed: int) -> tuple[npt.NDArray[np.intp], Float64]:
    """Return the number of each row's device (n,), and how often each draw (DRAWS, D) holds each device."""
    names, device = np.unique(devices.astype(str), return_inverse=True)
    d, random = len(names), np.random.default_rng(seed)
    draws = np.empty((DRAWS, d))
    for draw in draws:  # numpy's multinomial draws a number for each device, which takes thirty times as long
        draw[:] = np.bincount(random.integers(d, size=d), minlength=d)
    return device, draws


def _by_device(terms: Float64, device: npt.NDArray[np.intp]) -> Float64:
    """Return sums (D, K) of the rows' terms (n, K)."""
    return np.stack([np.bincount(device, column) for column in terms.T], axis=1)
