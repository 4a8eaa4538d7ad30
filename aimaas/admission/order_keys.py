"""The compiled part of the judge: content digests, and the comparison of rows with the order keys in the device state.

The order key of a record may differ from the device's newest by at most `most_run` and `most_order`. A record farther above is
refused as a jump, a record farther below as late. Three increasing records in a row, each within these limits of the one before,
confirm the new position: the third is admitted and begins a run. So neither a wrong counter nor an absurd first record silences a
device.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from aimaas.kernel.state import HISTORY

_CONFIRMED = 3  # increasing records, including the first one beyond the limits

_compiled = njit(cache=True, nogil=True)


@_compiled
def content_digests(values, ts_us):  # type: ignore[no-untyped-def]
    """Return the 64-bit FNV-1a of each row's time and readings: equal content gives equal digests."""
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
def _seen_before(keys, kept_digests, admitted, run, order, digest):  # type: ignore[no-untyped-def]
    """Return the verdict on a record that is not newer than the device's newest: duplicate, conflict, or late."""
    verdict = 12
    for h in range(min(admitted, HISTORY)):
        if keys[h, 0] == run and keys[h, 1] == order:
            verdict = 10 if kept_digests[h] == digest else 11
    return verdict


@_compiled
def _goes_on(jump, run, order, most_run, most_order):  # type: ignore[no-untyped-def]
    """Note a record beyond the limits in `jump` (run, order, increasing records so far); return whether `jump` changed."""
    if jump[2] > 0 and jump[0] == run and jump[1] == order:  # a repeated record confirms nothing
        return False
    above = run > jump[0] or (run == jump[0] and order > jump[1])
    rises = jump[2] > 0 and above and run - jump[0] <= most_run and order - jump[1] <= most_order
    jump[0], jump[1], jump[2] = run, order, jump[2] + 1 if rises else 1
    return True


@_compiled
def judge_order(  # type: ignore[no-untyped-def]
    rows, slots, runs, orders, digests, broker_ms, silence_ms, most_run, most_order,
    run, newest, seen_ms, keys, kept_digests, admitted, jump, verdicts, reset, moved, newest_then,
):  # fmt: skip
    """Compare the rows, in order, with the newest row of their device; see `Judge.order`. Verdicts are numbers of `Reason`."""
    for r in rows:
        slot = slots[r]
        if seen_ms[slot] > 0 and broker_ms[r] - seen_ms[slot] > silence_ms:
            admitted[slot] = 0
        begins = admitted[slot] == 0
        if not begins:
            up, by_run, by_order = True, runs[r] - run[slot], orders[r] - newest[slot]
            if by_run < 0 or (by_run == 0 and by_order <= 0):
                up, by_run, by_order = False, -by_run, -by_order
            far = by_run > most_run or by_order > most_order
            verdict = 13 if up and far else 0
            if not up:
                verdict = _seen_before(keys[slot], kept_digests[slot], admitted[slot], runs[r], orders[r], digests[r])
            if far and verdict >= 12:
                moved[r] = _goes_on(jump[slot], runs[r], orders[r], most_run, most_order)
                if moved[r] and jump[slot, 2] == _CONFIRMED:
                    begins, verdict = True, 0
            if verdict:
                verdicts[r] = verdict
                newest_then[r, 0], newest_then[r, 1] = run[slot], newest[slot]
                continue
        reset[r] = begins or runs[r] != run[slot]
        moved[r] = True
        jump[slot, 0] = jump[slot, 1] = jump[slot, 2] = 0
        at = admitted[slot] % HISTORY
        keys[slot, at, 0], keys[slot, at, 1], kept_digests[slot, at] = runs[r], orders[r], digests[r]
        run[slot], newest[slot], seen_ms[slot] = runs[r], orders[r], broker_ms[r]
        admitted[slot] += 1
