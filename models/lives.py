"""Rows with the known bounds of their time to failure: the training data of learners of censored lives."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from aimaas.training.rows import Rows

if TYPE_CHECKING:
    from models.samples import Samples

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Lives:
    """n rows, labelled or not: features (n, F), devices (n,), and the bounds of their time to failure.

    The bounds (n,) are in steps. They are equal if the failure was observed. For a censored life, the lower bound is how long it
    was observed after the row, and the upper bound is infinite. `weight` (n,) are the weights of the rows.
    """

    features: npt.NDArray[np.float32]
    devices: npt.NDArray[Any]
    lower: Float64
    upper: Float64
    weight: Float64

    @classmethod
    def of(cls, rows: Rows) -> Lives | None:
        """Return the lives of rows that have bounds; None for a set without bounds."""
        if rows.lower is None or rows.upper is None:
            return None
        lower, upper = rows.lower.astype(np.float64), rows.upper.astype(np.float64)
        return cls(rows.features, rows.device_id.astype(str), lower, upper, np.ones(len(rows)))

    def at(self, chosen: Any) -> Lives:
        """Return the chosen rows."""
        return Lives(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))

    def without(self, devices: npt.NDArray[Any]) -> Lives:
        """Return the rows of all other devices."""
        return self.at(~np.isin(self.devices, devices)) if len(devices) else self

    def first(self, width: int) -> Lives:
        """Return the same rows with their first `width` features."""
        return replace(self, features=np.ascontiguousarray(self.features[:, :width]))

    def stopped(self, farthest: float, exclusive: bool) -> Lives:
        """Return lives censored at `farthest` at the latest.

        A failure at T lies in the step around it, or with `exclusive` in the step before it, so
        that a failure within `farthest` is one in the model too. Rows without information are left out.
        """
        failed, early = np.isfinite(self.upper) & (self.upper <= farthest), 1.0 if exclusive else 0.5
        lower = np.where(failed, np.maximum(self.lower - early, 0.0), np.minimum(self.lower, farthest))
        upper = np.where(failed, np.maximum(self.upper + 1 - early, 0.5), np.inf)
        return replace(self, lower=lower, upper=upper).at(failed | (lower > 0))

    def __len__(self) -> int:
        return len(self.lower)


def lives_of_labels(samples: Samples, farthest: float, classify: bool) -> Lives:
    """Return lives from the labels alone, with the rows' weights: for a set without stored bounds."""
    labels = samples.targets.astype(np.float64)
    failed = labels > 0 if classify else labels < farthest
    lower = np.where(failed, 0.0 if classify else labels, farthest)
    upper = np.where(failed, farthest if classify else labels, np.inf)
    weight = samples.weight.astype(np.float64)
    return Lives(samples.features, samples.devices, lower, upper, weight)
