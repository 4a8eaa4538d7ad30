"""Reads the tables of a mapping as rows: telemetry, and outcomes. A new kind of table becomes one more reader here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from aimaas.fleet import FleetSpec
from aimaas.records.events import MAX_RUN, MAX_SEQ
from stream.replay.cells.block import Block
from stream.replay.cells.numbers import whole_numbers
from stream.replay.cells.source import Wanted
from stream.replay.cells.times import times
from stream.replay.devices import DeviceNames, device_indices
from stream.replay.mapping.schema import Column, DeviceSource, Mapping, OutcomesTable, TableFormat, TimeSource
from stream.replay.outcomes import OutcomeReader
from stream.replay.readings import ReadingsReader
from stream.replay.rows import NOTHING, OUTCOME, Rows, empty_rows

Int64 = npt.NDArray[np.int64]


class TelemetryTable:
    """Reads events, and the outcomes that rows of telemetry state."""

    def __init__(self, fleet: FleetSpec, mapping: Mapping, names: DeviceNames, modes: list[str]) -> None:
        self.written: TableFormat = mapping
        self._mapping, self._names = mapping, names
        self._readings = ReadingsReader(fleet, mapping)
        self._outcomes = OutcomeReader(mapping.outcome, modes, "outcome")
        self._count = len(fleet.readings)

    @property
    def wanted(self) -> Wanted:
        """Return the columns that it reads."""
        placed = _placing(self._mapping.device, self._mapping.run, self._mapping.seq, self._mapping.ts)
        return Wanted(
            [*placed, *self._readings.columns, *self._outcomes.columns], self._readings.optional - set(placed)
        )

    def rows(self, block: Block, first: int) -> Rows:
        """Return the rows of a block without a mistake; `first` is the place of the file's first row in all files."""
        m = self._mapping
        place = first + block.numbers - 1
        rows = empty_rows(len(block), self._count)
        rows["row"] = place
        rows["device"] = device_indices(block, m.device, self._names, place)
        _place(block, rows, m.run, m.seq, m.ts, m)
        rows["values"] = self._readings.read(block)
        rows["ending"], rows["mode"] = self._outcomes.read(block)
        return rows[block.ok & self._readings.mapped(block)]

    def finish(self, path: Path) -> None:
        """Raise ReplayError if a column or a word of the mapping matched nothing."""
        self._readings.finish(path)
        self._outcomes.finish(path)


class OutcomeTable:
    """Reads a table whose rows are outcomes."""

    def __init__(self, fleet: FleetSpec, mapping: Mapping, names: DeviceNames, modes: list[str]) -> None:
        table = mapping.outcomes
        assert table is not None  # noqa: S101 - the caller asked for it
        self._table: OutcomesTable = table
        self._device, self._names = table.device or mapping.device, names
        self.written: TableFormat = mapping.format_of(table)
        self._outcomes = OutcomeReader(table, modes, "outcomes", table.kind)
        self._count = len(fleet.readings)

    @property
    def wanted(self) -> Wanted:
        """Return the columns that it reads."""
        t = self._table
        return Wanted([*_placing(self._device, t.run, t.seq, t.ts), *self._outcomes.columns])

    def rows(self, block: Block, first: int) -> Rows:
        """Return the outcomes of a block without a mistake; see `TelemetryTable.rows`."""
        t = self._table
        place = first + block.numbers - 1
        rows = empty_rows(len(block), self._count)
        rows["row"], rows["what"] = place, OUTCOME
        rows["device"] = device_indices(block, self._device, self._names, place)
        _place(block, rows, t.run, t.seq, t.ts, self.written)
        rows["ending"], rows["mode"] = self._outcomes.read(block)
        stated: Rows = rows[block.ok & (rows["ending"] != NOTHING)]
        return stated

    def finish(self, path: Path) -> None:
        """Raise ReplayError if a word of the mapping matched nothing."""
        self._outcomes.finish(path)


def _placing(device: DeviceSource, run: Column | None, seq: Column | None, ts: TimeSource | None) -> list[str]:
    """Return the columns for the device and the time of a row."""
    single = [device.column, run and run.column, seq and seq.column]
    return [*(c for c in single if c), *(ts.column if ts else ())]


def _place(
    block: Block, rows: Rows, run: Column | None, seq: Column | None, ts: TimeSource | None, written: TableFormat
) -> None:
    """Fill run, seq and time of the rows (n,)."""
    for name, source, largest in (("run", run, MAX_RUN), ("seq", seq, MAX_SEQ)):
        if source is not None:
            found, bad = whole_numbers(block.column(source.column), written, largest)
            block.refuse(source.column, bad, f"a whole number from 0 to {largest}")
            rows[name] = np.where(bad, 0, found)
    if ts is not None:
        cells = joined_cells(block, ts)
        rows["time"], faults = times(cells, ts, written)
        for fault in faults:
            block.refuse(" ".join(ts.column), fault.bad, fault.allowed, cells)


def joined_cells(block: Block, ts: TimeSource) -> Any:
    """Return the cells (n,) of the time: one column, or the texts of several with blanks between them."""
    columns = [block.column(name) for name in ts.column]
    if len(columns) == 1:
        return columns[0]
    return pc.binary_join_element_wise(*(c.cast(pa.string()) for c in columns), " ")
