"""A Prometheus histogram that takes a whole array at once, because the client's own takes about a microsecond for each value."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from prometheus_client import Histogram


class ArrayHistogram(Histogram):
    """The client's histogram with a second way to observe."""

    def observe_all(self, values: npt.NDArray[np.float64]) -> None:
        """Count `values` (n,), none NaN; some 20 ns for each."""
        places = np.searchsorted(self._upper_bounds, values, side="left")  # the last bound is infinite
        for bucket, count in zip(
            self._buckets, np.bincount(places, minlength=len(self._buckets)).tolist(), strict=True
        ):
            if count:
                bucket.inc(count)
        self._sum.inc(float(values.sum()))
