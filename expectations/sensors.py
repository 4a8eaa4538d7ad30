"""Finds faults that no rule on a single row can see: stuck sensors, wrong units within the range, clocks that go back.

A window with a new row is new; the other windows define the usual values. Two shares of the new windows are computed for each
sensor: windows in which it never changes, and windows whose mean lies far outside the usual means. Clocks are checked row by row,
in the order of the device.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from expectations.rows.windows import Windows

STUCK, SHIFTED, CLOCK_BACK = "stuck_share", "shifted_share", "clock_back_share"

_NAMED = 3  # devices that a finding names
_ENOUGH = 50  # windows that define the usual values; with fewer, the new windows are compared with each other
_OFTEN = 0.2  # share of windows: a sensor that stands still more often does so by nature and is not judged
_MIDDLE = (0.2, 0.8)
_STRETCH = 2.5  # a mean may lie this many widths of the middle outside it
_LEAST_WIDTH = 0.01  # of a sensor's range: means that are closer are never far apart


class Share(NamedTuple):
    """A share of the new windows beyond the usual share, NaN without new windows, and some of the devices concerned."""

    value: float
    devices: tuple[str, ...] = ()


def shares(ranges: Mapping[str, tuple[float, float]], windows: Windows) -> dict[str, Share]:
    """`<sensor>_stuck_share` and `<sensor>_shifted_share` of the new windows, and `clock_back_share`.

    `ranges` are the ranges of the windows' sensors, by name and in their order.
    """
    result = {CLOCK_BACK: Share(windows.clock_back)}
    for c, (name, bounds) in enumerate(ranges.items()):
        result[f"{name}_{STUCK}"] = _stuck(windows, c)
        result[f"{name}_{SHIFTED}"] = _shifted(windows, c, bounds)
    return result


def _stuck(windows: Windows, c: int) -> Share:
    """The share of new windows in which a sensor never changes, less the usual share; 0 for a sensor that often stands still.

    Without usual windows, a sensor that stands still in most windows counts as one that does so by nature.
    """
    still, new = windows.low[:, c] == windows.high[:, c], windows.is_new
    if not new.any():
        return Share(math.nan)
    known = (~new).sum() >= _ENOUGH
    usual = _mean(still[~new]) if known else 0.0
    often = usual > _OFTEN if known else _mean(still[new]) > 0.5
    return Share(0.0) if often else _share(windows, still & new, new, usual)


def _shifted(windows: Windows, c: int, bounds: tuple[float, float]) -> Share:
    """The share of new windows whose mean is far from the usual means, less the same share of the usual windows."""
    mean = windows.mean[:, c]
    known = ~np.isnan(mean)
    new, usual = known & windows.is_new, known & ~windows.is_new
    if not new.any():
        return Share(math.nan)
    enough = usual.sum() >= _ENOUGH
    first, last = np.quantile(mean[usual if enough else new], _MIDDLE)
    reach = _STRETCH * max(last - first, _LEAST_WIDTH * (bounds[1] - bounds[0]))
    far = (mean < first - reach) | (mean > last + reach)
    return _share(windows, far & new, new, _mean(far[usual]) if enough else 0.0)


def _share(windows: Windows, which: npt.NDArray[np.bool_], new: npt.NDArray[np.bool_], usual: float) -> Share:
    devices = dict.fromkeys(windows.device[which].tolist())
    return Share(max(0.0, _mean(which[new]) - usual), tuple(devices)[:_NAMED])


def _mean(which: npt.NDArray[np.bool_]) -> float:
    return float(which.mean())
