"""Decides which devices lose their state if a partition is full and a new device arrives.

A device that was silent for longer than `limits.silence_s` begins a new history anyway, so all such devices are evicted first.
If there is none, the eighth that was silent longest is evicted at once, so the scan of all devices costs each new device about as
much as a look at eight.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

SHARE = 8  # one in this many is evicted at once


def devices_to_forget(
    device_ids: Sequence[str], seen_ms: npt.NDArray[np.int64], now_ms: int, silence_ms: int, most: int
) -> list[int]:
    """Positions of the devices to evict so that fewer than `most` remain.

    `seen_ms` (n,) is the broker's time of each device's newest row (0: none), `now_ms` the broker's time of the new device's
    event. Equal times are ordered by device id, so the result depends only on the arguments.
    """
    silent = (seen_ms > 0) & (now_ms - seen_ms > silence_ms)
    kept = np.flatnonzero(~silent)
    gone: list[int] = np.flatnonzero(silent).tolist()
    if len(kept) >= most:
        count = max(-(-most // SHARE), len(kept) - most + 1)  # more than the share if the limit was lowered
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
