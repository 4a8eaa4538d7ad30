"""The speed of wear of devices: the length of lives that ended in an observed failure, in thirds."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from aimaas.training.rows import Rows

Float64 = npt.NDArray[np.float64]

SPEEDS = ("fast", "middle", "slow")  # the third with the shortest lives, and so on

_FEWEST = 6  # lives: two in each third


def life_lengths(rows: Rows, cap: float, units_per_step: float) -> Float64:
    """Return the length of each row's life (n,) from its first row, in the task's unit; NaN if its failure was not observed.

    `rows` are rows of a remaining useful life, by (device, run, order), with `cap` as their label if more was left;
    `units_per_step` belongs to the order. A run may hold several lives.
    """
    n, at = len(rows), rows.order / units_per_step
    if not n:
        return np.empty(0)
    run = _run_of(rows)
    known = np.flatnonzero(rows.label < cap)
    after = np.append(known, n)[
        np.searchsorted(known, np.arange(n))
    ]  # the next row that knows its failure, itself included
    mine = (after < n) & (run[np.minimum(after, n - 1)] == run)
    failure = np.full(n, np.nan)
    failure[mine] = (at + rows.label)[after[mine]]
    new = np.append(True, (run[1:] != run[:-1]) | (at[1:] > failure[:-1] + 1e-6 * cap))
    lengths: Float64 = failure - at[np.flatnonzero(new)][np.cumsum(new) - 1]
    return lengths


def thirds(rows: Rows, lengths: Float64) -> npt.NDArray[np.int64]:
    """Return the position in SPEEDS of each row's life (n,) by the `lengths` (n,); -1 if unknown, or with few lives."""
    found = np.full(len(rows), -1)
    known = np.isfinite(lengths)
    if not known.any():
        return found
    lives = np.unique(np.stack([_run_of(rows)[known], lengths[known].round(3)]), axis=1)[1]
    if len(lives) < _FEWEST:
        return found
    found[known] = np.searchsorted(np.quantile(lives, (1 / 3, 2 / 3)), lengths[known].round(3), "left")
    return found


def _run_of(rows: Rows) -> npt.NDArray[np.int64]:
    """Return the number of each row's run (n,), counted over all devices."""
    new = (rows.device_id[1:] != rows.device_id[:-1]) | (rows.run[1:] != rows.run[:-1])
    return np.append(0, np.cumsum(new))
