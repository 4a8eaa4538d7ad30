"""Prediction intervals by conformal calibration on devices that the predicting model has not seen.

The score of a row is its absolute residual. Within each band of the prediction (Vovk, Lindsay, Nouretdinov, Gammerman: Mondrian
confidence machine, 2003; the band of the truth is unknown at prediction time) the interval's half-width is a quantile of the
scores. Rows of one device are nearly copies of each other, so devices, not rows, are exchangeable: within a band each device has
weight 1, shared by its rows there (Lee, Barber, Willett: Distribution-free inference with hierarchical data, 2023). With one weight
for all rows of a device, devices that stay long in a band would outweigh devices that pass it fast.

If the fleet file keeps calibration devices, the residuals of the exported file on them are used: split conformal with its guarantee
(Vovk 2015; Romano, Patterson, Candès 2019). The quantile's level is raised as if one more device had come. Otherwise the residuals
of nested cross-validation (models/training/nested.py) are used: it costs no device, and all devices calibrate instead of a tenth
of them. Its models learned from fewer devices than the one that ships and have slightly larger errors, so the level is not
raised. The guarantee then depends on the learner's stability (Barber, Candès, Ramdas, Tibshirani: Predictive inference with the
jackknife+, 2021; jackknife+ itself would need all fold models for every prediction).
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from aimaas.model.intervals import Intervals
from models.weights import Weights, by_device

COVERAGE = 0.9
FEWEST_DEVICES = 10  # below 1 / (1 - COVERAGE) - 1 = 9 no finite half-width is safe

_BANDS = 8  # on training engines of C-MAPSS, fewer bands follow the errors worse, on whole lives and on cut lives
_BAND_DEVICES = 20  # a band with fewer devices joins the one below it

Source = Literal["calibration", "nested cross-validation"]
Vector = npt.NDArray[np.floating]


def calibrate(
    predicted: Vector,
    truth: Vector,
    devices: npt.NDArray[Any],
    target_range: tuple[float, float],
    source: Source,
    of_rows: Weights = None,
) -> Intervals:
    """Return intervals from predictions (n,), the truth (n,) and the device (n,) of rows that the predicting model has not seen.

    `of_rows` (n,) are weights of rows (weighted conformal prediction: Tibshirani, Barber, Candès, Ramdas 2019). With fewer than
    `FEWEST_DEVICES` in a band the interval is the target's whole range.
    """
    names, device = np.unique(devices.astype(str), return_inverse=True)
    edges = _edges(predicted, device, by_device(device, np.zeros(len(device), np.int64), of_rows))
    band, scores = np.searchsorted(edges, predicted, "right"), np.abs(truth.astype(np.float64) - predicted)
    weights = by_device(device, band, of_rows)
    whole = target_range[1] - target_range[0]
    widths = []
    for b in range(len(edges) + 1):
        of = band == b
        found = _half_width(scores[of], weights[of], len(np.unique(device[of])), source)
        widths.append(float(min(found, whole)))
    return Intervals(COVERAGE, tuple(edges), tuple(-w for w in widths), tuple(widths), len(names), source)


def _edges(predicted: Vector, device: npt.NDArray[np.intp], weights: Vector) -> list[float]:
    """Return edges between bands of equal weight, where each device has weight 1; fewer if a band would hold too few devices."""
    order = np.argsort(predicted, kind="stable")
    reached = np.cumsum(weights[order]) / weights.sum()
    at = np.searchsorted(reached, np.arange(1, _BANDS) / _BANDS)
    kept: list[float] = []
    for edge in np.unique(predicted[order][at].astype(np.float32)).tolist():
        below = (predicted < edge) & (predicted >= (kept[-1] if kept else -np.inf))
        if len(np.unique(device[below])) >= _BAND_DEVICES:
            kept.append(edge)
    while kept and len(np.unique(device[predicted >= kept[-1]])) < _BAND_DEVICES:
        kept.pop()
    return kept


def _half_width(scores: Vector, weights: Vector, devices: int, source: Source) -> float:
    """Return the smallest score that COVERAGE of the weight (raised or not) does not exceed; infinite with few devices."""
    if devices < FEWEST_DEVICES:
        return float("inf")
    level = COVERAGE * (1 + 1 / devices) if source == "calibration" else COVERAGE
    order = np.argsort(scores)
    reached = np.cumsum(weights[order])
    return float(scores[order][np.searchsorted(reached, level * reached[-1] * (1 - 1e-12))])
