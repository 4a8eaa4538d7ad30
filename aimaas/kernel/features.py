"""The feature kernel: the one piece of code that turns raw readings into features.

Spark runs it over sorted partitions, the scorer per micro-batch, HTTP per request. It is compiled without fast-math, adds in a
fixed order and reads only the rows of one device, so any cut of the events into batches gives the same bits.

Features of a row, with z = (channel - mean[regime] - line) * scale[regime] and n rows of the run in the window, where line is the
sum over settings of slope[regime] * (setting - centre[regime]), if the fit has slopes:
- `mean_w`: mean of z over the last min(w, n) rows,
- `deviation_W`: population standard deviation of z over the last min(W, n) rows, W the largest window,
- `slope_W`: mean of z over the newer half of the window less the mean over the older half (0 if there is no older half),
- `from_first_k`: `mean_w` of the smallest window less the mean of z over the run's first min(k, count) rows,
- `now`: z itself, if the plan has no windows,
- the operating settings unchanged, and `age`: rows of the run so far,
- `back_j`, if the plan has the sequence: the normalised window itself, z of the row j rows before this one, for j from W - 1
  down to 0. A run shorter than W is padded with copies of its oldest row, so a sequence model needs no mask, and one rule fills a
  window that restarts or grows.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from aimaas.errors import StateError
from aimaas.fleet.expression import ADD, MAX_DEPTH, MULTIPLY, NEGATE, NUMBER, READING, SUBTRACT
from aimaas.kernel.fit import Fit
from aimaas.kernel.plan import FeaturePlan
from aimaas.kernel.plan_check import check_fit, check_plan
from aimaas.kernel.state import DeviceState

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]

# Cached on disk. numpy's error model: a division by zero gives inf or NaN, without a check per operation. Loops over channels
# are innermost and read contiguous arrays, so the compiler vectorises them; vector instructions round like scalar ones. Loops
# copy the rows, because slice assignment costs seconds of compile time.
_compiled = njit(cache=True, nogil=True, error_model="numpy")


@dataclass(frozen=True)
class Kernel:
    """A plan and a fit as the arrays that the compiled code reads; `width` is the number of returned features."""

    plan: FeaturePlan
    width: int
    _computed: int  # number of computed features, before some are left out
    _arrays: tuple[Any, ...]
    _kept: Int64 | None = None  # positions of the returned features; None: all

    def advance(self, state: DeviceState, slots: Int64, rows: Float32, resets: npt.NDArray[np.bool_]) -> Float32:
        """Put `rows` (n, R; NaN for null) of the devices in `slots` (n,) into `state`, in order; return features (n, F) float32.

        `resets[i]` says that row i begins a new run. Rows of one device must come in their order.
        Raises TypeError for arrays of another dtype or shape, StateError if `state` cannot serve this plan.
        """
        lacking = self.plan.needs(state.readings, state.window, state.first_rows)
        if lacking:
            raise StateError(f"{lacking}: start with the fleet file that the model was trained with")
        n, r = len(slots), len(self.plan.readings)
        given = (
            _checked("slots", slots, np.int64, (n,)),
            _checked("rows", rows, np.float32, (n, r)),
            _checked("resets", resets, np.bool_, (n,)),
        )
        if n and not 0 <= slots.min() <= slots.max() < len(state.count):
            raise TypeError(f"slots lie within {slots.min()} to {slots.max()}; the state has {len(state.count)}")
        out = np.empty((n, self._computed), np.float32)
        _advance(
            state.ring, state.first, state.count, state.held, state.started,
            state.regimes, state.first_regimes, state.noted_by,
            *given, *self._arrays, out,
        )  # fmt: skip
        return out if self._kept is None else np.take(out, self._kept, axis=1)


def _checked(name: str, array: Any, dtype: Any, shape: tuple[int, ...]) -> Any:
    """Return the array, contiguous and writeable, so that one compiled version serves all callers. Raises TypeError."""
    if not isinstance(array, np.ndarray) or array.dtype != dtype or array.shape != shape:
        found = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
        raise TypeError(f"{name} must be an array of {np.dtype(dtype)} {shape}, found {found}")
    return np.require(array, None, ("C", "W"))


def kernel_of(plan: FeaturePlan, fit: Fit, kept: Int64 | None = None) -> Kernel:
    """Turn a plan and a fit into arrays for the compiled code; with `kept` only the features at these positions are returned.

    Raises MetadataError for a plan or a fit that the compiled code must not get.
    """
    check_plan(plan)
    check_fit(plan, fit)
    lengths = [len(p.codes) for p in plan.programs]
    arrays = (
        np.array(plan.fill_values, np.float32),
        np.array(plan.fill_previous, np.bool_),
        np.array([c for p in plan.programs for c in p.codes], np.int64),
        np.array([v for p in plan.programs for v in p.values], np.float64),
        np.cumsum([0, *lengths]).astype(np.int64),
        np.array(fit.centres, np.float32).reshape(len(fit.centres), plan.settings),
        np.array(fit.weights, np.float32),
        np.array(fit.means, np.float32),
        np.array(fit.scales, np.float32),
        np.array(fit.slopes, np.float32).reshape(len(fit.slopes), plan.settings, len(plan.channels)),
        np.array(plan.windows, np.int64),
        plan.first,
        plan.sequence,
        int.from_bytes(hashlib.sha256(f"{plan.hash}{fit.id}".encode()).digest()[:7], "big") + 1,  # 0: not noted
    )
    computed = len(plan.feature_names)
    return Kernel(plan, computed if kept is None else len(kept), computed, arrays, kept)


@_compiled
def _store(ring, first, count, held, started, slot, rows, i, reset, fill_values, fill_previous):  # type: ignore[no-untyped-def]
    """Fill the nulls of a raw row and put it into the state; return its position in the ring."""
    window = ring.shape[1]
    if reset:
        count[slot] = 0
        held[slot] = 0
        started[slot] = 0
    at = count[slot] % window
    before = at - 1 if at else window - 1
    for r in range(rows.shape[1]):
        x = rows[i, r]
        if np.isnan(x):
            x = ring[slot, before, r] if fill_previous[r] and held[slot] > 0 else fill_values[r]
        ring[slot, at, r] = x
    # after K grew in the fleet file there may be fewer than K first rows, and none are added later
    if started[slot] == count[slot] and started[slot] < first.shape[1]:
        for r in range(rows.shape[1]):
            first[slot, started[slot], r] = ring[slot, at, r]
        started[slot] += 1
    count[slot] += 1
    held[slot] = min(held[slot] + 1, window)
    return at


@_compiled
def _regime(row, centres, weights):  # type: ignore[no-untyped-def]
    """Return the regime of a raw row: the centre nearest to its settings (which come first), ties to the lower index."""
    best, best_distance = 0, np.float32(np.inf)
    for g in range(centres.shape[0]):
        distance = np.float32(0)
        for s in range(centres.shape[1]):
            d = (row[s] - centres[g, s]) * weights[s]
            distance += d * d
        if distance < best_distance:
            best, best_distance = g, distance
    return best


@_compiled
def _note_regimes(  # type: ignore[no-untyped-def]
    ring, first, count, held, started, regimes, first_regimes, noted_by, slot, newest, centres, weights, token
):
    """Note the newest row's regime; the regimes of all rows, if they were noted for another fit or not at all."""
    if noted_by[slot] != token:
        for at in range(ring.shape[1] if count[slot] > newest + 1 else newest):
            regimes[slot, at] = _regime(ring[slot, at], centres, weights)
        for j in range(started[slot]):
            first_regimes[slot, j] = _regime(first[slot, j], centres, weights)
        noted_by[slot] = token
    regimes[slot, newest] = _regime(ring[slot, newest], centres, weights)
    if started[slot] == count[slot]:
        first_regimes[slot, started[slot] - 1] = regimes[slot, newest]


@_compiled
def _derive(kept, newest, n, codes, values, begin, end, stack):  # type: ignore[no-untyped-def]
    """Run one derived channel's program over n rows, newest first; leave its values, float64, in `stack[0]`."""
    top = -1
    for i in range(begin, end):
        code = codes[i]
        if code == READING:
            top += 1
            r, at = int(values[i]), newest
            for j in range(n):
                stack[top, j] = kept[at, r]
                at = at - 1 if at else kept.shape[0] - 1
        elif code == NUMBER:
            top += 1
            stack[top, :n] = values[i]
        elif code == NEGATE:
            for j in range(n):
                stack[top, j] = -stack[top, j]
        else:
            top -= 1
            for j in range(n):
                a, b = stack[top, j], stack[top + 1, j]
                stack[top, j] = (
                    a + b if code == ADD else a - b if code == SUBTRACT else a * b if code == MULTIPLY else a / b
                )


@_compiled
def _standardise(kept, regimes, newest, n, settings, codes, values, ends, means, scales, stack, z):  # type: ignore[no-untyped-def]
    """Compute z (n, C) of the n raw rows of `kept` (W, R) that end with `newest`, newest first; `regimes` (W,) belong to `kept`."""
    sensors = kept.shape[1] - settings
    at = newest
    for j in range(n):
        g = regimes[at]
        x, mean, scale, into = kept[at, settings:], means[g], scales[g], z[j]
        for c in range(sensors):
            into[c] = (x[c] - mean[c]) * scale[c]
        at = at - 1 if at else kept.shape[0] - 1
    for p in range(ends.shape[0] - 1):
        _derive(kept, newest, n, codes, values, ends[p], ends[p + 1], stack)
        c, at = sensors + p, newest
        for j in range(n):
            value = (np.float32(stack[0, j]) - means[regimes[at], c]) * scales[regimes[at], c]
            z[j, c] = value if np.isfinite(value) else np.float32(0)
            at = at - 1 if at else kept.shape[0] - 1


@_compiled
def _take_out_lines(kept, regimes, newest, n, centres, scales, slopes, z):  # type: ignore[no-untyped-def]
    """Subtract from z (n, C) the effect of the settings of its n raw rows, newest first; no change without slopes."""
    at = newest
    for j in range(n if slopes.shape[0] else 0):
        g, into = regimes[at], z[j]
        scale = scales[g]
        for s in range(slopes.shape[1]):
            slope, beside = slopes[g, s], kept[at, s] - centres[g, s]
            for c in range(slopes.shape[2]):
                into[c] -= slope[c] * beside * scale[c]
        at = at - 1 if at else kept.shape[0] - 1


@_compiled
def _window_features(z, n, windows, sums, out):  # type: ignore[no-untyped-def]
    """Write means per window, deviation and slope of z (n, C), newest first, to `out`; `sums` (3, C) is a work array."""
    channels = z.shape[1]
    half = windows[-1] // 2
    total, squares, newer = sums[0], sums[1], sums[2]
    total[:] = 0
    squares[:] = 0
    j = 0
    for b in range(windows.shape[0]):
        stop = min(windows[b], n)
        while j < stop:
            row = z[j]
            for c in range(channels):
                v = np.float64(row[c])
                total[c] += v
                squares[c] += v * v
            j += 1
            if j == half:
                for c in range(channels):
                    newer[c] = total[c]
        mean_at = out[b * channels : (b + 1) * channels]
        for c in range(channels):
            mean_at[c] = total[c] / stop
    deviation_at = out[windows.shape[0] * channels :]
    slope_at = deviation_at[channels:]
    for c in range(channels):
        mean = total[c] / n
        deviation_at[c] = np.sqrt(max(squares[c] / n - mean * mean, 0.0))
        slope_at[c] = newer[c] / half - (total[c] - newer[c]) / (n - half) if n > half else 0.0


@_compiled
def _copy_window(z, n, rows, out):  # type: ignore[no-untyped-def]
    """Write `rows` rows of z (n, C), newest first, to `out`, oldest first; copies of the oldest row fill missing rows."""
    channels = z.shape[1]
    for j in range(rows):
        row = z[min(j, n - 1)]
        into = out[(rows - 1 - j) * channels : (rows - j) * channels]
        for c in range(channels):
            into[c] = row[c]


@_compiled
def _advance(  # type: ignore[no-untyped-def]
    ring, first, count, held, started, regimes, first_regimes, noted_by, slots, rows, resets,
    fill_values, fill_previous, codes, values, ends, centres, weights, means, scales, slopes, windows, k, sequence,
    token, out,
):  # fmt: skip
    """Advance the state row by row and write the features; see the module's docstring for the formulas."""
    channels, settings, blocks = means.shape[1], centres.shape[1], windows.shape[0]
    widest = windows[-1] if blocks else 1
    most = max(widest, k)
    z = np.empty((most, channels), np.float32)
    stack = np.empty((MAX_DEPTH, most), np.float64)
    sums = np.empty((3, channels), np.float64)
    vector = out.shape[1] - sequence * channels
    for i in range(rows.shape[0]):
        slot = slots[i]
        newest = _store(ring, first, count, held, started, slot, rows, i, resets[i], fill_values, fill_previous)
        _note_regimes(
            ring, first, count, held, started, regimes, first_regimes, noted_by, slot, newest, centres, weights, token
        )
        n = min(held[slot], widest)
        _standardise(ring[slot], regimes[slot], newest, n, settings, codes, values, ends, means, scales, stack, z)
        _take_out_lines(ring[slot], regimes[slot], newest, n, centres, scales, slopes, z)
        settings_at = channels
        if blocks == 0:
            for c in range(channels):
                out[i, c] = z[0, c]
        else:
            _window_features(z, n, windows, sums, out[i])
            settings_at = (blocks + 2) * channels
            out[i, vector - 1] = count[slot]
            if sequence:
                _copy_window(z, n, sequence, out[i, vector:])
        if k > 0:
            m = min(started[slot], k)
            _standardise(
                first[slot], first_regimes[slot], m - 1, m, settings, codes, values, ends, means, scales, stack, z
            )
            _take_out_lines(first[slot], first_regimes[slot], m - 1, m, centres, scales, slopes, z)
            total = sums[0]
            total[:] = 0
            for j in range(m):
                row = z[j]
                for c in range(channels):
                    total[c] += row[c]
            for c in range(channels):
                out[i, settings_at + c] = out[i, c] - total[c] / m
            settings_at += channels
        for s in range(settings):
            out[i, settings_at + s] = ring[slot, newest, s]
