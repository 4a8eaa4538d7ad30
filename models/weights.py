"""Weights of rows (`censoring.py`). Weights that are all 1 are left out, so that every metric equals the unweighted one."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Weights = npt.NDArray[np.floating] | None  # (n,); None if all weights are 1


def unless_alike(weights: npt.NDArray[np.floating]) -> Weights:
    """Return the weights, None if all are 1."""
    return None if (weights == 1).all() else weights


def at(weights: Weights, chosen: Any) -> Weights:
    """Return the weights of the chosen rows."""
    return None if weights is None else weights[chosen]


def joined(*parts: npt.NDArray[np.floating]) -> Weights:
    """Return the weights of parts of the rows, one after the other."""
    return unless_alike(np.concatenate(parts))


def mean(values: npt.NDArray[Any], weights: Weights) -> float:
    """Return the weighted mean of values (n,)."""
    if weights is None:
        return float(values.mean(dtype=np.float64))
    return float(np.average(values.astype(np.float64), weights=weights))


def by_device(
    device: npt.NDArray[np.integer[Any]], part: npt.NDArray[np.integer[Any]], weights: Weights = None
) -> npt.NDArray[np.float64]:
    """Return weights of rows (n,) so that each device counts alike within each part of the rows; both are given by number (n,).

    The rows of a device in a part share one unit. Each row counts its share times its weight, so a device counts as much as the
    mean weight of its rows: under censoring it represents similar devices.
    """
    _, cell, rows = np.unique(part * (device.max(initial=0) + 1) + device, return_inverse=True, return_counts=True)
    one = np.ones(len(device)) if weights is None else weights.astype(np.float64)
    counted: npt.NDArray[np.float64] = one / rows[cell]
    return counted
