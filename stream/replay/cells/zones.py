"""Converts the times of a zone's clocks to instants, and finds times that come twice or never.

It uses Python's zones, because Arrow's have no summer time after 2037.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

Int64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
_EPOCH = datetime(1970, 1, 1)
_WHOLE_MINUTES_US = 3 * 366 * 86_400_000_000  # since 1973 all clocks of the world are set to whole minutes


def in_zone(clock_us: Int64, zone: str, ambiguous: Literal["refuse", "earlier", "later"]) -> tuple[Int64, Mask, Mask]:
    """Return instants (n,) in microseconds since 1970, which times (n,) come twice and are refused, and which never come.

    `clock_us` (n,) is the clocks' time, as if it were UTC.
    """
    step_s = 60 if clock_us.min(initial=_WHOLE_MINUTES_US) >= _WHOLE_MINUTES_US else 1
    steps, at = np.unique(clock_us // (step_s * 1_000_000), return_inverse=True)
    known = ZoneInfo(zone)
    offsets = np.array([_offsets(known, step * step_s) for step in steps.tolist()], np.int64).reshape(-1, 2)
    before, after = offsets[at, 0], offsets[at, 1]
    twice = before > after
    refused = twice if ambiguous == "refuse" else np.zeros(len(twice), np.bool_)
    return clock_us - (after if ambiguous == "later" else before) * 1_000_000, refused, before < after


def _offsets(zone: ZoneInfo, clock_s: int) -> tuple[int, int]:
    """Return the seconds that a clock is ahead of UTC, by the rule before a change of the clocks and by the rule after.

    Without a change both are equal.
    """
    clock = _EPOCH + timedelta(seconds=clock_s)
    first, second = (clock.replace(tzinfo=zone, fold=fold).utcoffset() or timedelta() for fold in (0, 1))
    return int(first.total_seconds()), int(second.total_seconds())
