"""Which devices lose their state when a partition has no room for a new one: a plain decision of plain data.

A device silent for longer than the fleet file allows begins anew anyway, so all of these go first. Where none is, the
longest-silent eighth goes at once: looking through all devices then costs each new one about as much as looking at eight.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

SHARE = 8  # one in so many is forgotten at once


def devices_to_forget(
    device_ids: Sequence[str], seen_ms: npt.NDArray[np.int64], now_ms: int, silence_ms: int, most: int
) -> list[int]:
    """Places of the devices to forget so that fewer than `most` remain.

    `seen_ms` (n,) is the broker's time of each device's newest row (0: none), `now_ms` of the event that needs room. Equal times
    are ordered by device id, so the choice depends on nothing but these.
    """
    silent = (seen_ms > 0) & (now_ms - seen_ms > silence_ms)
    kept = np.flatnonzero(~silent)
    gone: list[int] = np.flatnonzero(silent).tolist()
    if len(kept) >= most:
        count = max(-(-most // SHARE), len(kept) - most + 1)  # more than the share after the limit was lowered
        gone += _longest_silent(device_ids, seen_ms, kept, count)
    return gone


def _longest_silent(
    device_ids: Sequence[str], seen_ms: npt.NDArray[np.int64], places: npt.NDArray[np.int64], count: int
) -> list[int]:
    seen = seen_ms[places]
    newest = np.partition(seen, count - 1)[count - 1]
    older: list[int] = places[seen < newest].tolist()
    tied = sorted(places[seen == newest].tolist(), key=device_ids.__getitem__)
    return older + tied[: count - len(older)]
