"""The rows that a candidate is trained on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from aimaas.training.rows import Rows
from models.lives import Lives
from models.weights import Weights, unless_alike


@dataclass(frozen=True)
class Samples:
    """Features (n, F) float32, targets (n,) float32 (0 or 1 for a classification), and the device of each row (n,).

    `weight` (n,) are the weights of the rows; without it every row has weight 1. `lives` are rows of the same devices for learners
    of censored lives, with unlabelled rows; None if the training set does not keep them.
    """

    features: npt.NDArray[np.float32]
    targets: npt.NDArray[np.float32]
    devices: npt.NDArray[Any]
    weight: npt.NDArray[np.float32] = field(default_factory=lambda: np.ones(0, np.float32))
    lives: Lives | None = None

    def __post_init__(self) -> None:
        """Weights of 1 if the rows have none."""
        if len(self.weight) != len(self.targets):
            object.__setattr__(self, "weight", np.ones(len(self.targets), np.float32))

    @classmethod
    def of(cls, rows: Rows) -> Samples:
        """Return the rows of a training set, with devices as text; unlabelled rows are only in `lives`."""
        known = rows.labelled
        return cls(known.features, known.label, known.device_id.astype(str), known.weight, Lives.of(rows))

    @property
    def sample_weight(self) -> Weights:
        """The weights, None if all are 1: estimators are then trained without weights."""
        return unless_alike(self.weight)

    def at(self, index: npt.NDArray[Any]) -> Samples:
        """Return the rows at `index`, positions or one bool per row; lives of devices without such a row are left out."""
        devices = self.devices[index]
        lives = self.lives and self.lives.without(np.setdiff1d(self.devices, devices))
        return Samples(self.features[index], self.targets[index], devices, self.weight[index], lives)

    def first(self, width: int) -> Samples:
        """Return the same rows with their first `width` features."""
        lives = self.lives and self.lives.first(width)
        return replace(self, features=np.ascontiguousarray(self.features[:, :width]), lives=lives)

    def resampled(self, seed: int) -> Samples:
        """Return as many rows, drawn by weight, for learners without weights: each as often as its weight, rounded by chance."""
        if self.sample_weight is None:
            return self
        share = self.weight / self.weight.mean(dtype=np.float64)
        times = np.floor(share + np.random.default_rng(seed).random(len(self))).astype(np.int64)
        drawn = self.at(np.repeat(np.arange(len(self)), times))
        return replace(drawn, weight=np.ones(len(drawn), np.float32))

    def __len__(self) -> int:
        return len(self.targets)
