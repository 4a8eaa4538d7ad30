"""The rows on which candidates and forms are tried."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.samples import Samples

Folds = list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]


@dataclass(frozen=True)
class TrialData:
    """The samples, the folds of the training samples (positions of fitted and held-out rows), the target's range and the seed."""

    training: Samples
    validation: Samples
    folds: Folds
    target_range: tuple[float, float]
    seed: int
