"""What no rule on a single row can see: sensors that are stuck, readings in another unit within the range, clocks that go back.

Each device's rows are cut into windows of W rows, from its newest row backwards. A window that holds a new row is new, the others
are what is usual. Of the new ones two shares are taken for each sensor: those in which it never moves, and those whose mean lies
far outside the usual means. Clocks are looked at row by row, in the order of the device.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pyarrow as pa

Float64 = npt.NDArray[np.float64]

STUCK, SHIFTED, CLOCK_BACK = "stuck_share", "shifted_share", "clock_back_share"
ORDER = ("device_id", "run", "order")
MOST_ROWS = 1_000_000  # more are thinned by leaving devices out, so that the work has a limit

_ENOUGH = 50  # windows that say what is usual; with fewer the new ones are compared with each other
_OFTEN = 0.2  # share of windows: a sensor that stands still more often by its nature is not judged
_MIDDLE = (0.2, 0.8)
_STRETCH = 2.5  # widths of the middle that a mean may lie beyond it
_LEAST_WIDTH = 0.01  # of a sensor's range: closer means are never far apart


@dataclass(frozen=True)
class Windows:
    """Lowest, highest and mean value of each sensor (n windows, S), NaN where a window has a null; `is_new` (n,).

    `clock_back` is the share of new rows whose time is before that of the device's row before; NaN where no row is new.
    """

    low: Float64
    high: Float64
    mean: Float64
    is_new: npt.NDArray[np.bool_]
    clock_back: float = math.nan


def shares(
    ranges: Mapping[str, tuple[float, float]], rows: int, new: pa.Table, before: pa.Table | None
) -> dict[str, float]:
    """`<sensor>_stuck_share` and `<sensor>_shifted_share` of the new windows of `rows` rows, less the usual; `clock_back_share`.

    NaN where there are no rows or windows. `ranges` are those of the sensors, by name; the tables have `ORDER`, ts and the sensors.
    """
    found = cut([name for name in ranges if name in new.column_names], rows, new, before)
    result = {CLOCK_BACK: found.clock_back}
    for c, name in enumerate(name for name in ranges if name in new.column_names):
        result[f"{name}_{STUCK}"] = _stuck(found, c)
        result[f"{name}_{SHIFTED}"] = _shifted(found, c, ranges[name])
    return result


def cut(sensors: Sequence[str], rows: int, new: pa.Table, before: pa.Table | None) -> Windows:
    """Cut the rows of each device into windows of `rows` rows, the newest one full."""
    parts = [part for part in (before, new) if part is not None and part.num_rows]
    if not parts:
        empty = np.zeros((0, len(sensors)))
        return Windows(empty, empty, empty, np.zeros(0, np.bool_))
    run, order, ts = (_column(parts, name) for name in ("run", "order", "ts"))
    is_new = np.concatenate([np.full(part.num_rows, part is new) for part in parts])
    code = _codes(parts)
    kept = np.flatnonzero(code % -(-len(code) // MOST_ROWS) == 0)
    ordered = kept[np.lexsort((order[kept], run[kept], code[kept]))]
    back = (np.diff(code[ordered]) == 0) & (np.diff(ts[ordered]).astype(np.int64) < 0) & is_new[ordered[1:]]
    places = ordered[_whole_windows(code[ordered], rows)].reshape(-1, rows)
    low, high, mean = (np.empty((len(places), len(sensors))) for _ in range(3))
    for c, name in enumerate(sensors):
        values = _column(parts, name).astype(np.float64)[places]
        low[:, c], high[:, c], mean[:, c] = values.min(axis=1), values.max(axis=1), values.mean(axis=1)
    share = float(back.sum() / max(is_new[ordered].sum(), 1))
    return Windows(low, high, mean, is_new[places].max(axis=1, initial=False), share)


def _whole_windows(code: npt.NDArray[np.int64], rows: int) -> npt.NDArray[np.int64]:
    """Places of the rows that fill windows, of rows grouped by device: of each device the newest multiple of `rows`."""
    begins = np.flatnonzero(np.r_[True, code[1:] != code[:-1]])
    lengths = np.diff(np.r_[begins, len(code)])
    rest = np.repeat(lengths % rows, lengths)
    return np.flatnonzero(np.arange(len(code)) - np.repeat(begins, lengths) >= rest)


def _stuck(windows: Windows, c: int) -> float:
    """Share of new windows in which a sensor never moves, less that of the usual ones; 0 for one that often stands still.

    Where nothing is usual yet, a sensor that stands still in most windows is taken for one that does.
    """
    still, new = windows.low[:, c] == windows.high[:, c], windows.is_new
    if not new.any():
        return math.nan
    share = float(still[new].mean())
    known = (~new).sum() >= _ENOUGH
    usual = float(still[~new].mean()) if known else 0.0
    often = usual > _OFTEN if known else share > 0.5
    return 0.0 if often else max(0.0, share - usual)


def _shifted(windows: Windows, c: int, bounds: tuple[float, float]) -> float:
    """Share of new windows whose mean is far from the usual means, less the share of the usual ones that are."""
    mean, known = windows.mean[:, c], ~np.isnan(windows.mean[:, c])
    new, usual = mean[known & windows.is_new], mean[known & ~windows.is_new]
    if not len(new):
        return math.nan
    compared = usual if len(usual) >= _ENOUGH else new
    first, last = np.quantile(compared, _MIDDLE)
    reach = _STRETCH * max(last - first, _LEAST_WIDTH * (bounds[1] - bounds[0]))

    def far(means: Float64) -> float:
        return float(((means < first - reach) | (means > last + reach)).mean())

    return max(0.0, far(new) - (far(usual) if compared is usual else 0.0))


def _codes(parts: Sequence[pa.Table]) -> npt.NDArray[np.int64]:
    """A number for each row's device."""
    import pyarrow as pa

    devices = pa.chunked_array([chunk for part in parts for chunk in part["device_id"].chunks])
    found: npt.NDArray[np.int64] = devices.combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
    return found


def _column(parts: Sequence[pa.Table], name: str) -> npt.NDArray[Any]:
    return np.concatenate([part[name].to_numpy() for part in parts])
