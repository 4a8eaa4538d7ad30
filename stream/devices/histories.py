"""Histories of devices as columns: what the simulator makes, what a replay reads, and what is then sent.

Rows are ordered by device, then by run and sequence number. A history also knows the truth that a model has to guess, so that
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
    """What became of a run: known after row `row` of the histories, valid for sequence number `seq`."""

    row: int
    seq: int
    kind: OutcomeKind
    mode: str | None = None


@dataclass(frozen=True)
class Histories:
    """n rows of some devices: `device` (n,) indexes `devices`; `values` (n, R) in the order of the fleet's readings, NaN for null.

    `step` (n,) is the row's place in time: rows of all devices with one step happen at about the same time, `interval_s` seconds
    after those of the step before. `ts_us` (n,) holds recorded times (microseconds since 1970), None where the steps give them.
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
        """Row numbers (n,) in the order of time: by step, and within a step by device."""
        order: Int64 = np.lexsort((self.device, self.step))
        return order

    def times_us(self, end_us: int) -> Int64:
        """Times (n,) of the rows, microseconds since 1970: the recorded ones, or steps of which the last ends at `end_us`.

        The devices of one step follow each other within its interval; whole milliseconds.
        """
        if self.ts_us is not None:
            return self.ts_us
        last = int(self.step.max(initial=0))
        return step_times_us(self.step, self.device, len(self.devices), last, self.interval_s, end_us)


def step_times_us(step: Int64, device: Int64, devices: int, last: int, interval_s: float, end_us: int) -> Int64:
    """Times (n,) of steps of which the `last` ends at `end_us`, microseconds since 1970, in whole milliseconds.

    The `devices` devices of one step follow each other within its interval; `device` (n,) is each row's.
    """
    interval_us = interval_s * 1e6
    ago = (last - step) * interval_us + (1 - (device + 1) / devices) * interval_us
    times: Int64 = (end_us - np.ceil(ago / 1000).astype(np.int64) * 1000) // 1000 * 1000
    return times


def truth(histories: Histories, fleet: FleetSpec) -> Float64:
    """What a perfect model would predict for each row (n,); NaN where nobody can know it yet.

    Remaining useful life: what is left to the failure of the run, in the task's unit and capped; the cap where the run was seen
    alive for so long.
    Failure within a horizon: 1 where the run failed within it, 0 where all of it was observed without a failure.
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
    """Number of each row's run, counted over all devices (n,)."""
    new = np.ones(len(histories), np.bool_)
    new[1:] = (np.diff(histories.device) != 0) | (np.diff(histories.run) != 0)
    return np.cumsum(new) - 1


def _positions(histories: Histories, fleet: FleetSpec) -> Float64:
    """Each row's place in its run (n,), in the task's unit: the sequence number, or for fleets ordered by time the time."""
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
