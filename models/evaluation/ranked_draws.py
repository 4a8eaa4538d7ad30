"""Metrics of ranked rows for many draws of the devices: one pass over the rows for each draw, without extra memory.

As in scikit-learn: PR-AUC is average precision. The recall is the largest one at which few enough rows raise a false alarm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from models.evaluation.evaluate import FALSE_ALARMS, Float64, Vector
from models.weights import Weights


@dataclass(frozen=True)
class Ranking:
    """Rows from the highest score to the lowest, each (n,).

    The number of the `device`, the weight, whether they `failed`, and whether the next row has another score (`cut`).
    """

    device: npt.NDArray[np.intp]
    weight: Float64
    failed: npt.NDArray[np.bool_]
    cut: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, truth: Vector, predicted: Vector, device: npt.NDArray[np.intp], weights: Weights = None) -> Ranking:
        """Rank predictions (n,) of the rows of devices (n,), by their numbers."""
        order = np.argsort(-predicted, kind="stable")
        score = predicted[order]
        weight = np.ones(len(order)) if weights is None else weights[order].astype(np.float64)
        return cls(device[order], weight, truth[order] > 0, np.append(score[1:] != score[:-1], True))

    def metrics(self, draws: Float64) -> dict[str, Float64]:
        """Return both metrics for draws (B, D) that count each device, (B,); NaN if a draw has rows of only one label."""
        found: Any = _ranked(draws, self.device, self.weight, self.failed, self.cut, FALSE_ALARMS)
        return {"pr_auc": found[:, 0], "recall_at_1pct_fpr": found[:, 1]}


@njit(cache=True, nogil=True)
def _ranked(draws, device, weight, failed, cut, allowed):  # type: ignore[no-untyped-def]
    """PR-AUC and recall (B, 2); rows are in the order of `Ranking`."""
    found = np.full((len(draws), 2), np.nan)
    for b in range(len(draws)):
        counts = draws[b]
        positive = negative = 0.0
        for i in range(len(device)):
            if failed[i]:
                positive += counts[device[i]] * weight[i]
            else:
                negative += counts[device[i]] * weight[i]
        if positive == 0 or negative == 0:
            continue
        true = false = before = area = caught = 0.0
        for i in range(len(device)):
            if failed[i]:
                true += counts[device[i]] * weight[i]
            else:
                false += counts[device[i]] * weight[i]
            if cut[i] and true > 0:
                area += (true - before) / positive * (true / (true + false))
                before = true
                if false / negative <= allowed:
                    caught = true / positive
        found[b, 0], found[b, 1] = area, caught
    return found
