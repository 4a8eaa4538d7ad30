"""Coverage of intervals: the share of true values inside them, on devices that neither model nor calibration has seen.

Each device has the same weight within each part of the rows, as in calibration (models/evaluation/conformal.py). The interval of
a share comes from draws of whole devices (models/evaluation/resample.py), because the rows of one device are inside or outside
together.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from aimaas.model.intervals import Bounds
from models.evaluation.resample import drawn, middle_share
from models.weights import Weights, by_device

Vector = npt.NDArray[np.floating]


class Coverage(NamedTuple):
    """Share of true values inside the intervals, their mean width, and the bounds that hold 95 % of resamplings of the share.

    `low` and `high` are None with fewer than two devices.
    """

    share: float
    width: float
    low: float | None
    high: float | None


class Coverages:
    """Coverage of any part of n rows: `predicted`, `truth` and `devices` are (n,), `weights` are the weights of the rows.

    A draw of devices is the same for all parts.
    """

    def __init__(
        self,
        bounds: Bounds,
        predicted: npt.NDArray[np.float32],
        truth: Vector,
        devices: npt.NDArray[Any],
        seed: int,
        weights: Weights = None,
    ) -> None:
        lower, upper = bounds.of(predicted)
        self._within, self._width = (lower <= truth) & (truth <= upper), (upper - lower).astype(np.float64)
        self._device, self._draws = drawn(devices, seed)
        self._weights = np.ones(len(truth)) if weights is None else weights.astype(np.float64)

    def of(self, part: npt.NDArray[np.bool_]) -> Coverage:
        """Return the coverage of the rows of a mask (n,), which holds at least one row."""
        device, within = self._device[part], self._within[part]
        counts = by_device(device, np.zeros(len(device), np.int64), self._weights[part])
        share, width = np.average(np.stack([within, self._width[part]]), axis=1, weights=counts)
        if len(np.unique(device)) < 2:
            return Coverage(float(share), float(width), None, None)
        devices = self._draws.shape[1]
        sums = np.stack([np.bincount(device, of, devices) for of in (counts * within, counts)], axis=1)
        covered, whole = (self._draws @ sums).T
        return Coverage(float(share), float(width), *middle_share(covered[whole > 0] / whole[whole > 0]))
