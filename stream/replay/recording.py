"""Reads all tables of a mapping before anything is sent, and keeps large ones on disk.

So a mistake in the last row is found before the first row is sent. Memory grows with the number of devices, not of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aimaas.fleet import FailureWithin, FleetSpec
from stream.replay.cells.mistakes import Mistakes
from stream.replay.cells.source import blocks
from stream.replay.devices import DeviceNames
from stream.replay.external_sort import ExternalSort
from stream.replay.mapping.schema import Mapping, ReplayError
from stream.replay.rows import Rows, row_type
from stream.replay.runs import Runs, joined, order_of
from stream.replay.tables import OutcomeTable, TelemetryTable

Progress = Callable[[str, int, int], None]  # the work, how much of it is done, of how much
_BY_TIME = ("time", "device", "run", "seq", "what", "row")


@dataclass(frozen=True)
class Recording:
    """The things that a recording's rows refer to. `last_step` is the largest `time` if no times are recorded, otherwise None."""

    devices: Sequence[str]
    modes: Sequence[str]
    horizon: int
    last_step: int | None


@dataclass
class Found:
    """A recording with its rows, `total` of them, and the numbers of events and outcomes."""

    recording: Recording
    rows: Iterator[Rows]
    total: int
    events: int
    outcomes: int


class Recorder:
    """Reads the tables of one replay. `folder` takes rows that do not fit into memory."""

    def __init__(
        self,
        fleet: FleetSpec,
        mapping: Mapping,
        source: Path,
        folder: Path,
        mistakes: Mistakes,
        progress: Progress | None,
    ) -> None:
        self._fleet, self._mapping, self._source, self._folder = fleet, mapping, source, folder
        self._mistakes, self._progress = mistakes, progress
        self._names, self._modes = DeviceNames(mapping.device.row), list[str]()
        self._kind = row_type(len(fleet.readings))
        self._runs = Runs(mapping.outcome, count_seq=mapping.seq is None, count_time=mapping.ts is None)
        self.rows_read = 0

    def by_device(self) -> Iterator[Rows]:
        """Yield the rows by device, run and place. Raises ReplayError."""
        rows = self._read()
        parts = rows.sorted()
        if self._mapping.long:
            parts = joined(parts, self._mapping, self._source, self._mistakes)
        return self._runs.walk(parts)

    def by_time(self) -> Found:
        """Yield the rows in the order of time, and within a time by device. Raises ReplayError."""
        sort = ExternalSort(self._kind, _BY_TIME, self._folder)
        for part in self.by_device():
            sort.add(part)
        return Found(self.recording(), sort.sorted(), self._runs.rows, self._runs.events, self._runs.outcomes)

    def recording(self) -> Recording:
        """Return the things that the rows refer to, once all rows are read."""
        task = self._fleet.task
        horizon = int(np.ceil(task.horizon)) if isinstance(task, FailureWithin) else 0
        last = self._runs.last_time if self._mapping.ts is None else None
        return Recording(self._names, self._modes, horizon, last)

    def _read(self) -> ExternalSort:
        """Return all tables, sorted by device."""
        sort = ExternalSort(self._kind, order_of(self._mapping), self._folder)
        telemetry = TelemetryTable(self._fleet, self._mapping, self._names, self._modes)
        self._read_table(telemetry, _files(self._source, self._mapping.file), sort)
        if self._mapping.outcomes:
            known = len(self._names)
            folder = self._source if self._source.is_dir() else self._source.parent
            files = _files(folder, self._mapping.outcomes.file)
            seen = self._read_table(OutcomeTable(self._fleet, self._mapping, self._names, self._modes), files, sort)
            _require_known(files[0], seen, known, self._names)
        return sort

    def _read_table(self, table: TelemetryTable | OutcomeTable, files: Sequence[Path], sort: ExternalSort) -> set[int]:
        """Read a table's files; return the indices of its devices, for outcomes only (there are few)."""
        first, seen = 0, set[int]()
        for path in files:
            numbers = 0
            for block in blocks(path, table.written, table.wanted, self._mistakes, self._reading(path)):
                rows = table.rows(block, first)
                sort.add(rows)
                numbers = int(block.numbers[-1])
                self.rows_read += len(block)
                if isinstance(table, OutcomeTable):
                    seen |= set(rows["device"].tolist())
            first += numbers
        if self._mistakes.refused:  # a check: report words and columns without a match once all rows can be read
            return seen
        if not self.rows_read:
            raise ReplayError(f"{files[0]}: has no rows")
        table.finish(files[0])
        return seen

    def _reading(self, path: Path) -> Callable[[int, int], None] | None:
        progress = self._progress
        return None if progress is None else lambda done, total: progress(f"reading {path.name}", done, total)


def _files(source: Path, pattern: str | None) -> list[Path]:
    """Return the files of a table: `source` itself, or the files in it that match `pattern`. Raises ReplayError."""
    if pattern is None and source.is_dir():
        raise ReplayError(f"{source}: is a folder; name the table in the mapping, such as file: telemetry.csv")
    if pattern is None or source.is_file():
        return [source]
    if (source / pattern).is_file():
        return [source / pattern]
    try:
        found = sorted(path for path in source.glob(pattern) if path.is_file())
    except (NotImplementedError, ValueError):  # an invalid pattern
        found = []
    if not found:
        raise ReplayError(f"{source}: has no file {pattern}")
    return found


def _require_known(path: Path, seen: set[int], known: int, names: Sequence[str]) -> None:
    """Raise ReplayError if none of the outcomes' devices is in the telemetry."""
    if seen and min(seen) >= known:
        raise ReplayError(
            f"{path}: none of its devices, such as {names[min(seen)]!r}, is in the telemetry, which has {names[0]!r}; "
            "write the names alike"
        )
