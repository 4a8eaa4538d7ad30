"""Recorded tables (CSV or Parquet) as histories, by a mapping file. Mistakes name file, column and row."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv, parquet

from aimaas.events import MAX_RUN, MAX_SEQ, OutcomeKind
from aimaas.fleet import FailureWithin, FleetSpec
from stream.devices.histories import Ending, Float64, Histories, Int64
from stream.replay.mapping import Mapping, OutcomeSource, ReplayError

_MAX_DEVICE_ID = 128


@dataclass(frozen=True)
class Table:
    """A table in memory, with the name of the file for messages. Rows are counted from 1, without the header."""

    path: Path
    columns: Any

    def column(self, name: str) -> Any:
        """A column as one array. Raises ReplayError where there is none of that name."""
        names = self.columns.column_names
        if name not in names:
            raise ReplayError(f"{self.path}: no column {name!r}; there are: {', '.join(names)}")
        return self.columns.column(name).combine_chunks()

    def wrong(self, column: str, row: int, found: Any, allowed: str) -> ReplayError:
        """The error of one cell; `row` counts from 0."""
        return ReplayError(f"{self.path}: column {column!r}, row {row + 1}: found {found!r}, allowed: {allowed}")

    def each(self, name: str, convert: Callable[[Any], Any], allowed: str) -> list[Any]:
        """`convert` of every cell, called once per different value. Raises ReplayError where it raises ValueError."""
        encoded = pc.dictionary_encode(self.column(name), null_encoding="encode")
        indices = encoded.indices.to_numpy(zero_copy_only=False)
        converted = []
        for i, value in enumerate(encoded.dictionary.to_pylist()):
            try:
                converted.append(convert(value))
            except (ValueError, TypeError, OverflowError):
                raise self.wrong(name, int(np.argmax(indices == i)), value, allowed) from None
        return [converted[i] for i in indices.tolist()]

    def numbers(self, name: str) -> Float64:
        """A column of numbers (n,), NaN for empty cells."""
        column = self.column(name)
        if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
            values: Float64 = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
            return values
        return np.array(self.each(name, _number, "a number, or nothing"), np.float64)

    def integers(self, name: str, largest: int) -> Int64:
        """A column of whole numbers from 0 to `largest` (n,)."""

        def convert(value: Any) -> int:
            number = float(value)
            if not (0 <= number <= largest and number == int(number)):
                raise ValueError
            return int(value) if isinstance(value, int) else int(number)

        return np.array(self.each(name, convert, f"a whole number from 0 to {largest}"), np.int64)


def read_table(path: Path, delimiter: str = ",") -> Table:
    """Read a `.csv` or `.parquet` file. Raises ReplayError."""
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            return Table(path, parquet.read_table(path))
        return Table(path, csv.read_csv(path, parse_options=csv.ParseOptions(delimiter=delimiter)))
    except OSError as e:
        raise ReplayError(f"{path}: cannot be read ({e.strerror or e})") from None
    except (pa.ArrowInvalid, UnicodeDecodeError) as e:
        raise ReplayError(f"{path}: no table ({' '.join(str(e).split())}); allowed: CSV in UTF-8, or Parquet") from None


def table_histories(table: Table, mapping: Mapping, fleet: FleetSpec) -> Histories:
    """The rows as histories, ordered by device (as they first appear), run and order. Raises ReplayError."""
    names, device = _devices(table, mapping)
    rows = len(device)
    run = table.integers(mapping.run.column, MAX_RUN) if mapping.run else np.zeros(rows, np.int64)
    ts_us = _times(table, mapping.ts.column) if mapping.ts else None
    seq = table.integers(mapping.seq.column, MAX_SEQ) if mapping.seq else None
    position = seq if seq is not None else ts_us if ts_us is not None else np.arange(rows)
    sort = np.lexsort((position, run, device))  # stable: rows of one position stay as recorded
    device, run = device[sort], run[sort]
    seq = _counted(device, run) if seq is None else seq[sort]
    ts_us = None if ts_us is None else ts_us[sort]
    return Histories(
        fleet=fleet.fleet,
        devices=names,
        device=device,
        run=run,
        seq=seq,
        step=np.arange(rows) - np.searchsorted(device, device) if ts_us is None else ts_us,
        values=_readings(table, mapping, fleet)[sort],
        endings=_endings(table, mapping.outcome, fleet, sort, (device, run, seq)),
        ts_us=ts_us,
    )


def _devices(table: Table, mapping: Mapping) -> tuple[list[str], Int64]:
    """Names in the order of appearance, and the index of each row's name."""
    if mapping.device.row is not None:
        rows = table.columns.num_rows
        return [mapping.device.row.format(i + 1) for i in range(rows)], np.arange(rows)

    def name(value: Any) -> str:
        if value is None or not 1 <= len(str(value).encode()) <= _MAX_DEVICE_ID:
            raise ValueError
        return str(value)

    each = table.each(str(mapping.device.column), name, f"a name of 1 to {_MAX_DEVICE_ID} characters")
    index = {text: i for i, text in enumerate(dict.fromkeys(each))}
    return list(index), np.array([index[text] for text in each], np.int64)


def _counted(device: Int64, run: Int64) -> Int64:
    """Number of each row in its run, from 1."""
    return np.arange(len(device)) - _starts(device, run) + 1


def _starts(device: Int64, run: Int64) -> Int64:
    """Index of the first row of each row's run."""
    new = np.ones(len(device), np.bool_)
    new[1:] = (np.diff(device) != 0) | (np.diff(run) != 0)
    starts: Int64 = np.maximum.accumulate(np.where(new, np.arange(len(device)), 0))
    return starts


def _times(table: Table, name: str) -> Int64:
    """Microseconds since 1970 (n,)."""

    def convert(value: Any) -> int:
        if isinstance(value, int | float) and math.isfinite(value):
            return round(value * 1e6)
        time = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        return round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1e6)

    return np.array(table.each(name, convert, "RFC 3339, or seconds since 1970"), np.int64)


def _readings(table: Table, mapping: Mapping, fleet: FleetSpec) -> Float64:
    """Readings (n, R) in the order of the fleet's."""
    values = np.empty((table.columns.num_rows, len(fleet.readings)))
    for c, name in enumerate(fleet.readings):
        source = mapping.readings[name]
        if source.column is None:
            values[:, c] = source.constant
        elif source.values is not None:
            words = {_word(word): number for word, number in source.values.items()}
            values[:, c] = table.each(source.column, lambda v, words=words: _known(words, v), _listed(words))  # type: ignore[misc]
        else:
            values[:, c] = table.numbers(source.column) * source.scale + source.offset
    return values


def _endings(
    table: Table, source: OutcomeSource, fleet: FleetSpec, sort: Int64, order: tuple[Int64, Int64, Int64]
) -> list[Ending]:
    """Outcomes that rows state, then those of the runs without one."""
    device, run, seq = order
    stated = _stated(table, source, sort)
    endings = [Ending(row, int(seq[row]), kind, mode) for row, (kind, mode) in stated.items()]
    starts = _starts(device, run)
    ended = {int(starts[row]) for row in stated}
    last_rows = np.append(np.flatnonzero(np.diff(starts)), len(starts) - 1) if len(starts) else np.zeros(0, np.int64)
    horizon = math.ceil(fleet.task.horizon) if isinstance(fleet.task, FailureWithin) else 0
    for row in last_rows.tolist():
        if int(starts[row]) in ended:
            continue
        if source.last_row:
            endings.append(Ending(row, int(seq[row]), source.last_row))
        elif source.observed:
            endings.append(Ending(row, int(seq[row]) + horizon, "retired"))
    return endings


def _stated(table: Table, source: OutcomeSource, sort: Int64) -> dict[int, tuple[OutcomeKind, str | None]]:
    """Kind and mode by row, of the rows whose outcome column says so."""
    if source.column is None:
        return {}
    given: list[tuple[OutcomeKind, tuple[str | int | float, ...]]] = [
        ("failed", source.failed),
        ("repaired", source.repaired),
        ("retired", source.retired),
    ]
    kinds = {_word(word): kind for kind, words in given for word in words}
    said = table.each(source.column, lambda value: kinds.get(_word(value)), "anything")
    modes = {mode: table.each(column, _word, "anything") for column, mode in source.modes.items()}
    stated = {}
    for row, recorded in enumerate(sort.tolist()):
        kind = said[recorded]
        if kind is not None:
            mode = next((m for m, flags in modes.items() if flags[recorded] in ("1", "True")), None)
            stated[row] = (kind, mode)
    return stated


def _number(value: Any) -> float:
    return math.nan if value is None or value == "" else float(value)


def _word(value: Any) -> str:
    """A cell as text: 1, 1.0 and "1" are the same word."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _known(words: dict[str, float], value: Any) -> float:
    if _word(value) not in words:
        raise ValueError
    return words[_word(value)]


def _listed(words: Collection[str]) -> str:
    return ", ".join(words)
