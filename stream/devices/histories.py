"""Histories of devices as columns: made by the simulator or read by a replay, then sent.

Rows are ordered by device, then by run and sequence number. A history also holds the truth that a model predicts, so that
predictions can be compared with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aimaas.fleet import FleetSpec, RemainingUsefulLife
from aimaas.fleet.units import SECONDS_PER_UNIT
from aimaas.records.events import OutcomeKind

Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of a run: known after row `row` of the histories, valid for sequence number `seq`."""

    row: int
    seq: int
    kind: OutcomeKind
    mode: str | None = None


@dataclass(frozen=True)
class Histories:
    """n rows of some devices: `device` (n,) indexes `devices`; `values` (n, R) in the order of the fleet's readings, NaN for null.

    `step` (n,) is the row's place in time: rows of all devices with one step have about the same time, `interval_s` seconds
    after the previous step's. `ts_us` (n,) holds recorded times (microseconds since 1970); if it is None, the steps give
    the times.
    """

    fleet: str
    devices: Sequence[str]
    device: Int64
    run: Int64
    seq: Int64
    step: Int64
    values: Float64
    endings: Sequence[Ending]
    interval_s: float = 1.0
    ts_us: Int64 | None = None

    def __len__(self) -> int:
        return len(self.device)

    def in_time(self) -> Int64:
        """Return row numbers (n,) in the order of time: by step, and within a step by device."""
        order: Int64 = np.lexsort((self.device, self.step))
        return order

    def times_us(self, end_us: int) -> Int64:
        """Return times (n,) of the rows, microseconds since 1970: the recorded ones, or steps whose last one ends at `end_us`.

        The devices of one step follow each other within its interval; whole milliseconds.
        """
        if self.ts_us is not None:
            return self.ts_us
        last = int(self.step.max(initial=0))
        return step_times_us(self.step, self.device, len(self.devices), last, self.interval_s, end_us)


def step_times_us(step: Int64, device: Int64, devices: int, last: int, interval_s: float, end_us: int) -> Int64:
    """Return times (n,) of steps, microseconds since 1970, in whole milliseconds; step `last` ends at `end_us`.

    The `devices` devices of one step follow each other within its interval; `device` (n,) is the device of each row.
    """
    interval_us = interval_s * 1e6
    ago = (last - step) * interval_us + (1 - (device + 1) / devices) * interval_us
    times: Int64 = (end_us - np.ceil(ago / 1000).astype(np.int64) * 1000) // 1000 * 1000
    return times


def truth(histories: Histories, fleet: FleetSpec) -> Float64:
    """Return a perfect model's prediction for each row (n,); NaN if it cannot be known yet.

    Remaining useful life: the time to the run's failure, in the task's unit and capped. It is the cap if the run was seen
    alive for at least the cap.
    Failure within a horizon: 1 if the run failed within it, 0 if all of it was observed without a failure.
    """
    group, position = _runs(histories), _positions(histories, fleet)
    observed = _last(group, position)
    failed = np.full(group.max(initial=-1) + 1, np.inf)
    for ending in histories.endings:
        at = position[ending.row] + (ending.seq - histories.seq[ending.row]) * (fleet.order == "seq")
        observed[group[ending.row]] = max(observed[group[ending.row]], at)
        if ending.kind == "failed":
            failed[group[ending.row]] = at
    to_failure, seen = failed[group] - position, observed[group] - position
    if isinstance(fleet.task, RemainingUsefulLife):
        alive = np.where(seen >= fleet.task.cap, fleet.task.cap, np.nan)
        return np.where(np.isfinite(to_failure), np.minimum(to_failure, fleet.task.cap), alive)
    negative = np.where(seen >= fleet.task.horizon, 0.0, np.nan)
    return np.where((to_failure >= 0) & (to_failure <= fleet.task.horizon), 1.0, negative)


def _runs(histories: Histories) -> Int64:
    """Return the number of each row's run, counted over all devices (n,)."""
    new = np.ones(len(histories), np.bool_)
    new[1:] = (np.diff(histories.device) != 0) | (np.diff(histories.run) != 0)
    return np.cumsum(new) - 1


def _positions(histories: Histories, fleet: FleetSpec) -> Float64:
    """Return each row's place in its run (n,) in the task's unit: the sequence number, or the time for fleets ordered by time."""
    if fleet.order == "seq":
        return histories.seq.astype(np.float64)
    unit_s = SECONDS_PER_UNIT[fleet.task.unit]
    if histories.ts_us is None:
        return histories.step.astype(np.float64) * (histories.interval_s / unit_s)
    positions: Float64 = (histories.ts_us - histories.ts_us.min(initial=0)) / (1e6 * unit_s)
    return positions


def _last(group: Int64, position: Float64) -> Float64:
    last = np.full(group.max(initial=-1) + 1, -np.inf)
    np.maximum.at(last, group, position)
    return last
