"""Recorded rows as one flat array, for sorting, spilling to disk and sending."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from aimaas.records.events import OutcomeKind

Rows = npt.NDArray[np.void]
EVENT, OUTCOME = 0, 1  # values of `what`: a row of telemetry, or of a table of outcomes
NOTHING = 0
ENDINGS: tuple[OutcomeKind | None, ...] = (None, "failed", "repaired", "retired")
OBSERVED = len(ENDINGS)  # an `ending`: observed for the whole horizon after the row, without a failure
_FIELDS = [
    ("device", np.int32),  # index of its name
    ("run", np.int32),
    ("seq", np.int64),
    ("time", np.int64),  # microseconds since 1970, or the row's number in its device if no times are recorded
    ("row", np.int64),  # place in the files, which keeps rows of one time as recorded
    ("what", np.int8),
    ("ending", np.int8),  # index into ENDINGS, or OBSERVED
    ("mode", np.int16),  # index into the names of modes, -1 for none
]


def row_type(readings: int) -> np.dtype[Any]:
    """Return the type of a row with R readings: `values` (R,) float64, NaN for null."""
    return np.dtype([*_FIELDS, ("values", np.float64, (readings,))])


def empty_rows(count: int, readings: int) -> Rows:
    """Return `count` empty events."""
    rows: Rows = np.zeros(count, row_type(readings))
    rows["mode"] = -1
    rows["values"] = np.nan
    return rows


def begins(rows: Rows, names: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Return the rows where one of the fields differs from the previous row (n,); true for the first."""
    new = np.zeros(len(rows), np.bool_)
    new[:1] = True
    for name in names:
        new[1:] |= rows[name][1:] != rows[name][:-1]
    return new
