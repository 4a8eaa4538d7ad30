"""What a candidate is fitted on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from aimaas.training_rows import Rows


@dataclass(frozen=True)
class Samples:
    """Features (n, F) float32, targets (n,) float32 (0 or 1 for a classification), and the device of each row (n,)."""

    features: npt.NDArray[np.float32]
    targets: npt.NDArray[np.float32]
    devices: npt.NDArray[Any]

    @classmethod
    def of(cls, rows: Rows) -> Samples:
        """The rows of a training set, devices as text."""
        return cls(rows.features, rows.label, rows.device_id.astype(str))

    def at(self, index: npt.NDArray[Any]) -> Samples:
        """The rows at `index`, which holds positions or one bool per row."""
        return Samples(self.features[index], self.targets[index], self.devices[index])

    def first(self, width: int) -> Samples:
        """The same rows with their first `width` features."""
        return Samples(np.ascontiguousarray(self.features[:, :width]), self.targets, self.devices)

    def __len__(self) -> int:
        return len(self.targets)
