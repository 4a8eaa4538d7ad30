"""The compiled part of the judge: content digests, and the walk over rows in order, against the order keys in the state."""

from __future__ import annotations

import numpy as np
from numba import njit

from aimaas.state import HISTORY

_compiled = njit(cache=True, nogil=True)


@_compiled
def content_digests(values, ts_us):  # type: ignore[no-untyped-def]
    """64-bit FNV-1a over the bits of each row's time and readings: equal content gives equal digests."""
    out = np.empty(values.shape[0], np.uint64)
    bits = values.view(np.uint64)
    for i in range(values.shape[0]):
        h = np.uint64(14695981039346656037)
        h = (h ^ np.uint64(ts_us[i])) * np.uint64(1099511628211)
        for r in range(values.shape[1]):
            h = (h ^ bits[i, r]) * np.uint64(1099511628211)
            h ^= h >> np.uint64(29)
        out[i] = h
    return out


@_compiled
def judge_order(  # type: ignore[no-untyped-def]
    rows, slots, runs, orders, digests, broker_ms, silence_ms,
    count, held, run, newest, seen_ms, keys, kept_digests, admitted, verdicts, reset, newest_then,
):  # fmt: skip
    """Walk the rows in order: newer than the device's newest or not; see `Judge.order`; verdicts are the numbers of `Reason`."""
    for r in rows:
        slot = slots[r]
        if seen_ms[slot] > 0 and broker_ms[r] - seen_ms[slot] > silence_ms:
            admitted[slot] = 0
        fresh = admitted[slot] == 0
        if not fresh and (runs[r] < run[slot] or (runs[r] == run[slot] and orders[r] <= newest[slot])):
            verdicts[r] = 12
            newest_then[r, 0], newest_then[r, 1] = run[slot], newest[slot]
            for h in range(min(admitted[slot], HISTORY)):
                if keys[slot, h, 0] == runs[r] and keys[slot, h, 1] == orders[r]:
                    verdicts[r] = 10 if kept_digests[slot, h] == digests[r] else 11
            continue
        reset[r] = fresh or runs[r] != run[slot]
        at = admitted[slot] % HISTORY
        keys[slot, at, 0], keys[slot, at, 1], kept_digests[slot, at] = runs[r], orders[r], digests[r]
        run[slot], newest[slot], seen_ms[slot] = runs[r], orders[r], broker_ms[r]
        admitted[slot] += 1
