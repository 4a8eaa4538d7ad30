"""Finds whether a column orders the rows of each device: in one pass, with memory for each device only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stream.replay.cells.block import Block
from stream.replay.cells.mistakes import Mistakes
from stream.replay.cells.numbers import numbers
from stream.replay.cells.source import ReadProgress, Wanted, blocks
from stream.replay.cells.times import times
from stream.replay.devices import DeviceNames, device_indices
from stream.replay.mapping.schema import DeviceSource, TableFormat, TimeSource
from stream.replay.tables import joined_cells

Int64 = npt.NDArray[np.int64]


@dataclass
class Steps:
    """The steps from row to row of a device: all are at least 0 (`rises`), all are at most 0 (`falls`), some are 0 (`even`)."""

    rises: bool = True
    falls: bool = True
    even: bool = False
    largest: int = 0
    sum: int = 0
    count: int = 0
    newest: int = -(2**62)
    _last: Int64 = field(default_factory=lambda: np.zeros(0, np.int64))
    _seen: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))

    @property
    def is_strict(self) -> bool:
        """Return whether no two rows of a device have the same place, as far as one pass can tell: all rise, or all fall."""
        return (self.rises or self.falls) and not self.even

    @property
    def mean(self) -> float | None:
        """Return the mean step; None if no device has two rows."""
        return self.sum / self.count if self.count else None

    def add(self, device: Int64, order: Int64, devices: int) -> None:
        """Add rows (n,) of devices (n,), in the order of the file; `devices` is the number of known devices."""
        self._grow(devices)
        rows = np.argsort(device, kind="stable")
        device, order = device[rows], order[rows]
        begins = np.append(True, device[1:] != device[:-1])
        before = np.append(order[:1], order[:-1])
        before[begins] = self._last[device[begins]]
        known = ~begins | self._seen[device]
        steps = (order - before)[known]
        self.rises = self.rises and bool((steps >= 0).all())
        self.falls = self.falls and bool((steps <= 0).all())
        self.even = self.even or bool((steps == 0).any())
        self.largest = max(self.largest, int(np.abs(steps).max(initial=0)))
        self.sum, self.count = self.sum + int(np.abs(steps).sum()), self.count + len(steps)
        self.newest = max(self.newest, int(order.max(initial=self.newest)))
        ends = np.append(begins[1:], True)
        self._last[device[ends]], self._seen[device[ends]] = order[ends], True

    def _grow(self, devices: int) -> None:
        if len(self._last) < devices:
            more = max(devices, 2 * len(self._last)) - len(self._last)
            self._last = np.append(self._last, np.zeros(more, np.int64))
            self._seen = np.append(self._seen, np.zeros(more, np.bool_))


@dataclass
class Order:
    """The order of a table's rows: the number of devices, and the steps in time and in each counter."""

    rows: int = 0
    devices: int = 0
    time: Steps | None = None
    counters: dict[str, Steps] = field(default_factory=dict)


def order_of(
    path: Path,
    written: TableFormat,
    device: DeviceSource,
    time: TimeSource | None,
    counters: Sequence[str],
    progress: ReadProgress | None = None,
) -> Order:
    """Return the order of the rows by time (None if a cell is no time) and by counters. Raises ReplayError."""
    wanted = [*([device.column] if device.column is not None else []), *(time.column if time else ()), *counters]
    found, names = Order(0, 0, Steps() if time else None, {c: Steps() for c in counters}), DeviceNames()
    for block in blocks(path, written, Wanted(wanted), Mistakes(counting=True), progress):
        index = device_indices(block, device, names, block.numbers)
        found.rows, found.devices = found.rows + len(block), len(names)
        for counter, steps in found.counters.items():
            values, _ = numbers(block.column(counter), written)
            steps.add(index, values.astype(np.int64), len(names))
        if time is not None and found.time is not None:
            found.time = _with_times(found.time, block, time, written, index, len(names))
    return found


def _with_times(
    steps: Steps, block: Block, time: TimeSource, written: TableFormat, index: Int64, devices: int
) -> Steps | None:
    us, faults = times(joined_cells(block, time), time, written)
    if any(fault.bad.any() for fault in faults):
        return None
    steps.add(index, us, devices)
    return steps
