"""Cuts the rows of each device into windows of W rows, backwards from its newest row, for `expectations.sensors`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pyarrow as pa

Float64 = npt.NDArray[np.float64]

ORDER = ("device_id", "run", "order")
MOST_ROWS = 1_000_000  # above this, devices are left out, so that the work is bounded


@dataclass(frozen=True)
class Windows:
    """Lowest, highest and mean value of each sensor (n windows, S), NaN if the window has a null.

    `is_new` (n,) marks the windows with a new row, `device` (n,) holds the device of each window. `clock_back` is the share of
    new rows whose time is before the time of the device's previous row.
    """

    low: Float64
    high: Float64
    mean: Float64
    is_new: npt.NDArray[np.bool_]
    device: npt.NDArray[np.object_]
    clock_back: float = math.nan


def cut(sensors: Sequence[str], rows: int, new: pa.Table, before: pa.Table | None) -> Windows:
    """Cut the rows of each device into windows of `rows` rows, the newest one full."""
    parts = [part for part in (before, new) if part is not None and part.num_rows]
    if not parts:
        empty = np.zeros((0, len(sensors)))
        return Windows(empty, empty, empty, np.zeros(0, np.bool_), np.zeros(0, np.object_))
    run, order, ts = (_column(parts, name) for name in ("run", "order", "ts"))
    is_new = np.concatenate([np.full(part.num_rows, part is new) for part in parts])
    code, names = _codes(parts)
    kept = np.flatnonzero(code % -(-len(code) // MOST_ROWS) == 0)
    ordered = kept[np.lexsort((order[kept], run[kept], code[kept]))]
    back = (np.diff(code[ordered]) == 0) & (np.diff(ts[ordered]).astype(np.int64) < 0) & is_new[ordered[1:]]
    places = ordered[_whole_windows(code[ordered], rows)].reshape(-1, rows)
    low, high, mean = (np.empty((len(places), len(sensors))) for _ in range(3))
    for c, name in enumerate(sensors):
        values = _column(parts, name).astype(np.float64)[places]
        low[:, c], high[:, c], mean[:, c] = values.min(axis=1), values.max(axis=1), values.mean(axis=1)
    share = float(back.sum() / max(is_new[ordered].sum(), 1))
    return Windows(low, high, mean, is_new[places].max(axis=1, initial=False), names[code[places[:, 0]]], share)


def _whole_windows(code: npt.NDArray[np.int64], rows: int) -> npt.NDArray[np.int64]:
    """Positions of the rows that fill windows, for rows grouped by device: the newest multiple of `rows` of each device."""
    begins = np.flatnonzero(np.r_[True, code[1:] != code[:-1]])
    lengths = np.diff(np.r_[begins, len(code)])
    rest = np.repeat(lengths % rows, lengths)
    return np.flatnonzero(np.arange(len(code)) - np.repeat(begins, lengths) >= rest)


def _codes(parts: Sequence[pa.Table]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.object_]]:
    """The number of each row's device, and the devices by number."""
    import pyarrow as pa

    devices = pa.chunked_array([chunk for part in parts for chunk in part["device_id"].chunks])
    found = devices.combine_chunks().dictionary_encode()
    return found.indices.to_numpy().astype(np.int64), found.dictionary.to_numpy(zero_copy_only=False)


def _column(parts: Sequence[pa.Table], name: str) -> npt.NDArray[Any]:
    return np.concatenate([part[name].to_numpy() for part in parts])
