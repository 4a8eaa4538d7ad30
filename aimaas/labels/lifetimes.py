"""The lives of devices in the corrected view: where the kernel begins a new history, and the label of each row.

All functions but `labels` take whole devices, each device's rows together in the order of (run, order), as readers of the lake
have them. So nothing that depends on a row's neighbours is stored with it, and a late event or a late outcome changes no stored
row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from aimaas.fleet import FleetSpec, RemainingUsefulLife

if TYPE_CHECKING:
    import pyarrow as pa

Mask = npt.NDArray[np.bool_]
Int64 = npt.NDArray[np.int64]

NEVER = np.iinfo(np.int64).max  # the order key of an event that has not happened


class Lives(NamedTuple):
    """Rows of whole devices: where a device begins (n,), where a run begins (n,), and where a kernel history begins (n,)."""

    new_device: Mask
    new_run: Mask
    begins: Mask


def lives_of(fleet: FleetSpec, rows: pa.RecordBatch) -> Lives:
    """The lives in rows with the columns device_id, run and broker_ts."""
    import pyarrow as pa

    device = rows["device_id"].dictionary_encode().indices.to_numpy(zero_copy_only=False)
    broker_us = rows["broker_ts"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy(zero_copy_only=False)
    new_device = _changes(device)
    new_run = new_device | _changes(rows["run"].to_numpy())
    begins = beginnings(new_device, new_run, broker_us // 1000, int(fleet.limits.silence_s * 1e3))
    return Lives(new_device, new_run, begins)


def _changes(values: npt.NDArray[np.integer[Any]]) -> Mask:
    """True where a value differs from the one before it, and at the first."""
    found = np.ones(len(values), np.bool_)
    found[1:] = values[1:] != values[:-1]
    return found


def beginnings(new_device: Mask, new_run: Mask, broker_ms: Int64, silence_ms: int) -> Mask:
    """Where the kernel begins a new history (n,): with a device, with a run, and after a silence longer than `silence_ms`.

    A late row counts with the time of the rows that it belongs before, so it neither ends nor begins a silence. An eviction in a
    scorer is not part of the device's life.
    """
    silent = np.diff(_counted_ms(new_device, broker_ms), prepend=0) > silence_ms
    begins: Mask = new_device | new_run | silent
    return begins


def _counted_ms(new_device: Mask, broker_ms: Int64) -> Int64:
    """The smallest broker time of each row and the later rows of its device."""
    if not len(broker_ms):
        return broker_ms
    apart = (
        int(broker_ms.max() - broker_ms.min()) + 1
    )  # lifts each device above the one before, so that it ends the minimum
    lift = (np.cumsum(new_device) - 1) * apart
    counted: Int64 = np.minimum.accumulate((broker_ms + lift)[::-1])[::-1] - lift
    return counted


def labels(fleet: FleetSpec, order: Int64, newest: Int64, failure: Int64, end: Int64) -> npt.NDArray[np.float64]:
    """Labels (n,) of rows in any order, NaN if none is known. `newest`, `failure` and `end` are order keys of the row's life.

    A life is the time between two outcomes of a run, and ends with the second; a run may hold several. `newest` is its newest row,
    `failure` its failure, `end` its repair or retirement, NEVER if there is none. A row is labelled by the later end of its life:

    - a life that failed: the remaining useful life (in the task's unit, capped), or whether the failure came within the horizon;
    - a life that goes on, or was repaired or retired (censored): the cap, or 0, if the row was observed for that long;
    - rows after `failure`, and all others: no label.

    Whether a row has a label depends on the label, so labels alone are biased: `aimaas.labels.censoring` gives the correcting
    weights.
    """
    fails, watched = _fails(order, failure, end), _watched(order, newest, end)
    task, step = fleet.task, fleet.order_units_per_step
    if isinstance(task, RemainingUsefulLife):
        failing, alive = np.minimum((failure - order) / step, task.cap), task.cap
    else:
        failing, alive = (failure - order <= task.horizon * step).astype(np.float64), 0.0
    survives = (order <= failure) & (watched >= steps_needed(fleet))
    return np.where(fails, failing, np.where(survives, alive, np.nan))


def bounds(
    fleet: FleetSpec, order: Int64, newest: Int64, failure: Int64, end: Int64
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Bounds (n,) of the time to failure of rows, in steps: equal if the failure was observed, otherwise the upper is infinite.

    Takes the arguments of `labels`. The lower bound of a life without an observed failure is how long it was observed after the
    row.
    """
    fails = _fails(order, failure, end)
    watched = np.where(fails, failure - order, np.maximum(_watched(order, newest, end), 0)) / fleet.order_units_per_step
    return watched, np.where(fails, watched, np.inf)


def _fails(order: Int64, failure: Int64, end: Int64) -> Mask:
    fails: Mask = (failure != NEVER) & (order <= failure) & ((end >= failure) | (end < order))
    return fails


def _watched(order: Int64, newest: Int64, end: Int64) -> Int64:
    """The time for which rows of lives without a failure were observed."""
    return np.where((order <= end) & (end != NEVER), end, newest) - order


def steps_needed(fleet: FleetSpec) -> float:
    """The time that a living device must be observed after a row for a label, in steps of the order: the horizon, or the cap."""
    task = fleet.task
    return (task.cap if isinstance(task, RemainingUsefulLife) else task.horizon) * fleet.order_units_per_step
