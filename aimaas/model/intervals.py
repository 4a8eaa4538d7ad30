"""The prediction intervals inside a model: offsets to add to a prediction, by the band of the prediction."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import numpy.typing as npt

LOWER, UPPER = "lower", "upper"  # the names of the bounds in all records and tables

Float32 = npt.NDArray[np.float32]


class Intervals(msgspec.Struct, frozen=True):
    """Offsets by band of the prediction, in the target's unit.

    `edges` (B - 1,) rise; band b holds the predictions in [edges[b - 1], edges[b]). `lower` and `upper` (B,) are added to a
    prediction. The interval contains the prediction: lower <= 0 <= upper. `coverage` is the promised share, `devices` the number
    of devices that it was learned from. `source` names these devices: `calibration`, or those held out in `cross-validation`.
    """

    coverage: float
    edges: tuple[float, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    devices: int
    source: str

    def __post_init__(self) -> None:
        """Raise ValueError, which msgspec reports as a validation error, if the parts do not fit together."""
        bands = len(self.edges) + 1
        numbers = (*self.edges, *self.lower, *self.upper)
        if len(self.lower) != bands or len(self.upper) != bands or not all(map(math.isfinite, numbers)):
            raise ValueError(f"intervals of {bands} bands need as many finite offsets `lower` and `upper`")
        if list(self.edges) != sorted(self.edges) or max(self.lower) > 0 or min(self.upper) < 0:
            raise ValueError("edges of intervals must increase, and an interval must contain its prediction")


class Bounds:
    """Intervals ready for use: float32 arrays, like the predictions."""

    def __init__(self, intervals: Intervals, target_range: tuple[float, float]) -> None:
        with np.errstate(over="ignore"):
            self._edges, self._lower, self._upper = (
                np.array(part, np.float32) for part in (intervals.edges, intervals.lower, intervals.upper)
            )
            self._lowest, self._highest = np.float32(target_range[0]), np.float32(target_range[1])

    @property
    def are_finite(self) -> bool:
        """Whether every finite prediction has finite bounds: each offset, edge and end of the range is a finite float32."""
        ends = np.array([self._lowest, self._highest])
        return all(bool(np.isfinite(part).all()) for part in (self._edges, self._lower, self._upper, ends))

    def bands(self, predictions: Float32) -> npt.NDArray[np.intp]:
        """The band of each prediction (n,)."""
        return np.searchsorted(self._edges, predictions, "right")

    def of(self, predictions: Float32) -> tuple[Float32, Float32]:
        """Lower and upper bounds (n,) float32 of predictions (n,) float32, within the target's range."""
        band = self.bands(predictions)
        with np.errstate(over="ignore"):  # a sum beyond float32 is cut to the range
            lower = np.maximum(predictions + self._lower[band], self._lowest)
            upper = np.minimum(predictions + self._upper[band], self._highest)
        return lower, upper
