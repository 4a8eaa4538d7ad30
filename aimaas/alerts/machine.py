"""The state machine of alert rules: compiled code over the rows of a batch, in their order.

A rule is in one of four states on each device:

- INACTIVE: `when` is not true;
- PENDING: `when` is true since `since_ms`, at `count` events in a row; the alert fires after the stretch `for`;
- FIRING: the alert fires;
- CLEARING: it fires, and was clear since `since_ms`, at `count` events in a row; it resolves after `keep_firing_for`.

`count` stops at the number that the rule asks for, so a rule that only waits for time changes nothing with each event.
"""

from __future__ import annotations

import numpy as np
from numba import njit

INACTIVE, PENDING, FIRING, CLEARING = range(4)
FIRES, RESOLVES, FALLS_SILENT, RETURNS = range(4)  # kinds of transitions

_compiled = njit(cache=True, nogil=True, error_model="numpy")


@_compiled
def _note(transitions, found, i, r, kind, last):  # type: ignore[no-untyped-def]
    transitions[found, 0], transitions[found, 1], transitions[found, 2] = i, r, kind
    transitions[found, 3], transitions[found, 4], transitions[found, 5] = last[0], last[1], last[2]
    return found + 1


@_compiled
def advance_rules(  # type: ignore[no-untyped-def]
    slots, broker_ms, clock_ms, runs, orders, when, clear, fires_events, fires_ms, clears_events, clears_ms, silence_ms,
    status, count, since_ms, last, mutated, transitions,
):  # fmt: skip
    """Advance all rules (R) by n rows; return the number of transitions.

    `when` and `clear` (n, R) hold 1, 0 or -1 (unknown: the rule stays as it is). The first rules wait for silence, of
    `silence_ms`, the others have a condition. `clock_ms` (n,) is the newest broker time of the partition up to each row.
    `status`, `count` and `since_ms` are (slots, R). `last` (slots, 3) holds broker time, run and order of the device's last
    event, zeros before the first. Sets `mutated` (n,) where a rule's state changed, and fills `transitions` (at least 2 n R,
    6): row, rule, kind, and the device's last event before the row. Silence comes first, as if it had been noticed before
    the row arrived.
    """
    found = 0
    for i in range(slots.shape[0]):
        slot, now = slots[i], broker_ms[i]
        for r in range(silence_ms.shape[0]):
            if status[slot, r] == INACTIVE and last[slot, 0] > 0 and clock_ms[i] - last[slot, 0] > silence_ms[r]:
                found = _note(transitions, found, i, r, FALLS_SILENT, last[slot])
                status[slot, r] = FIRING
        for r in range(silence_ms.shape[0]):
            if status[slot, r] == FIRING:
                found = _note(transitions, found, i, r, RETURNS, last[slot])
                status[slot, r] = INACTIVE
                mutated[i] = True
        for r in range(silence_ms.shape[0], when.shape[1]):
            state = status[slot, r]
            if state == INACTIVE or state == PENDING:
                answer, rests, counting, reached, kind = when[i, r], INACTIVE, PENDING, FIRING, FIRES
                events, ms = fires_events[r], fires_ms[r]
            else:
                answer, rests, counting, reached, kind = clear[i, r], FIRING, CLEARING, INACTIVE, RESOLVES
                events, ms = clears_events[r], clears_ms[r]
            if answer == 1:
                if state == rests:
                    status[slot, r], count[slot, r], since_ms[slot, r] = counting, 1, now
                    mutated[i] = True
                elif count[slot, r] < events:
                    count[slot, r] += 1
                    mutated[i] = True
                if count[slot, r] >= events and now - since_ms[slot, r] >= ms:
                    found = _note(transitions, found, i, r, kind, last[slot])
                    status[slot, r], count[slot, r], since_ms[slot, r] = reached, 0, 0
                    mutated[i] = True
            elif answer == 0 and state == counting:
                status[slot, r], count[slot, r], since_ms[slot, r] = rests, 0, 0
                mutated[i] = True
        last[slot, 0], last[slot, 1], last[slot, 2] = now, runs[i], orders[i]
    return found


def precompile() -> None:
    """Compile the machine, or load its compiled code."""
    one, grid = np.ones(1, np.int64), np.zeros((1, 1), np.int64)
    answers, status = np.zeros((1, 1), np.int8), np.zeros((1, 1), np.int8)
    advance_rules(
        np.zeros(1, np.int64), one, one, one, one, answers, answers, one, one, one, one, one,
        status, grid.copy(), grid.copy(), np.zeros((1, 3), np.int64), np.zeros(1, np.bool_), np.zeros((2, 6), np.int64),
    )  # fmt: skip
