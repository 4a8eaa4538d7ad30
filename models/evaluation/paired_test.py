"""Tests whether a challenger's error is lower than the champion's beyond chance: a t test, paired by device.

Rows of one device resemble each other, so a device counts once: by the difference of both models' losses, summed over its rows.
Effects that make a device hard for both models cancel out. Student's t gives the p-value, because resampling cannot resolve a level
of 0.0001. If few failures give the differences heavy tails, the test promotes less often than its level
(Cressie: Relaxing assumptions in the one sample t-test, 1980); benchmarks/promotions.py measures it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.evaluation.evaluate import Float64, Vector, error_of, losses_of
from models.weights import Weights


@dataclass(frozen=True)
class Comparison:
    """Two models' errors on the same rows, the p-value of the challenger's improvement, and the number of devices."""

    challenger: float
    champion: float
    p_value: float
    devices: int


def compare(
    truth: Vector,
    challenger: Vector,
    champion: Vector,
    devices: npt.NDArray[Any],
    classify: bool,
    improvement: float,
    weights: Weights = None,
) -> Comparison:
    """Compare two models' predictions (n,) of the same rows.

    The null hypothesis: the challenger's error is not below the champion's less the share `improvement`.
    """
    names, device = np.unique(devices.astype(str), return_inverse=True)
    mine, other = (_by_device(losses_of(truth, p, classify, weights), device) for p in (challenger, champion))
    errors = [error_of(truth, p, classify, weights) for p in (challenger, champion)]
    return Comparison(errors[0], errors[1], p_value_of(mine, other, classify, improvement), len(names))


def p_value_of(challenger: Float64, champion: Float64, classify: bool, improvement: float) -> float:
    """Return the one-sided p-value of both models' losses, summed by device (D,); 1 if D is below 2.

    An RMSE is below another less a share if the squared errors are below the others times the square of one minus the share.
    """
    left = (1 - improvement) ** (1 if classify else 2)
    return _t_test(left * champion - challenger)


def _by_device(losses: Float64, device: npt.NDArray[np.intp]) -> Float64:
    """Return sums (D,) of the rows' losses (n,)."""
    sums: Float64 = np.bincount(device, losses).astype(np.float64)
    return sums


def _t_test(gains: Float64) -> float:
    """Return the p-value of a mean (D,) above 0."""
    from scipy.special import stdtr

    if len(gains) < 2:
        return 1.0
    mean, spread = float(gains.mean()), float(gains.std(ddof=1))
    if spread == 0:
        return 0.0 if mean > 0 else 1.0
    return float(stdtr(len(gains) - 1, -mean / spread * np.sqrt(len(gains))))
