"""Guesses the format of a CSV file from its beginning: encoding, delimiter, lines before the header, header, decimal mark."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa

from stream.replay.cells.csv_source import unpacked_bytes
from stream.replay.cells.numbers import numbers
from stream.replay.mapping.schema import ReplayError, TableFormat

_DELIMITERS = (",", ";", "\t", "|")
_PREAMBLE = 20  # lines before a header, at most
_ROWS = 400
_EVEN = 0.95  # share of rows that have as many cells as the header
MARKS: tuple[tuple[str, str | None], ...] = (
    (".", None), (",", None), (",", "."), (".", ","), (",", " "), (".", " "), (".", "'"), (",", "'"),
)  # fmt: skip


def csv_format(path: Path) -> TableFormat:
    """Return the format of the file. Raises ReplayError if it has no rows, OSError, ArrowException."""
    encoding = _encoding(path)
    beginning = next(unpacked_bytes(path), b"")
    decoder = codecs.getincrementaldecoder("utf-8-sig" if encoding == "utf-8" else encoding)("replace")
    lines = decoder.decode(beginning).splitlines(keepends=True)
    lines = lines[:-1] if len(lines) > 1 and len(beginning) >= 1 << 18 else lines  # the last one may be cut
    delimiter, skip = _delimiter(lines)
    rows = list(islice(_rows(lines[skip:], delimiter), _ROWS))
    if not rows:
        raise ReplayError(f"{path}: has no rows")
    named = not _is_data(rows)
    columns = None if named else tuple(f"column_{i + 1}" for i in range(len(rows[0])))
    decimal, thousands = best_marks(_cells(rows[1:] if named else rows), quoted=delimiter == ",")
    return TableFormat(
        delimiter=delimiter, encoding=encoding, decimal=decimal, thousands=thousands, skip_rows=skip, columns=columns
    )


def _encoding(path: Path) -> str:
    """Return the first encoding that fits the whole file."""
    if next(unpacked_bytes(path), b"")[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    for encoding in ("utf-8", "windows-1252"):
        decoder = codecs.getincrementaldecoder(encoding)()
        try:
            for part in unpacked_bytes(path):
                decoder.decode(part)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            continue
        return encoding
    return "latin-1"


def _rows(lines: Sequence[str], delimiter: str) -> Iterator[list[str]]:
    return (row for row in csv.reader(io.StringIO("".join(lines), newline=""), delimiter=delimiter) if row)


def _delimiter(lines: Sequence[str]) -> tuple[str, int]:
    """Return the delimiter, and the number of lines before the header: the fewest lines, then the most columns."""
    first = lines[0].strip() if lines else ""
    if first.lower().startswith("sep=") and len(first) == 5:  # Excel's own first line
        return first[4], 1
    found = [
        (skip, -columns, delimiter)
        for delimiter in _DELIMITERS
        for skip in range(min(_PREAMBLE, max(len(lines) - 1, 1)))
        if (columns := _even_columns(lines[skip : skip + _ROWS], delimiter)) > 1
    ]
    skip, _, delimiter = min(found, default=(0, 0, ","))
    return delimiter, skip


def _even_columns(lines: Sequence[str], delimiter: str) -> int:
    """Return the number of cells of the first line, if nearly all rows have as many; otherwise 0."""
    try:
        counts = [len(row) for row in _rows(lines, delimiter)]
    except csv.Error:
        return 0
    if not counts or not lines[0].strip():
        return 0
    return counts[0] if counts.count(counts[0]) >= _EVEN * len(counts) else 0


def _is_data(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether the first row is no header.

    It is none if half of its cells are numbers, and no column of numbers has a first cell that is no number.
    """
    first, columns = [_is_number(cell) for cell in rows[0]], _cells(rows[1:])
    over_numbers = any(
        not number and cell.strip() and cells and all(map(_is_number, cells))
        for number, cell, cells in zip(first, rows[0], columns, strict=False)
    )
    return len(rows) > 1 and sum(first) * 2 >= len(first) > 0 and not over_numbers


def _is_number(cell: str) -> bool:
    """Return whether a cell is a number with either decimal mark."""
    return any(_are_numbers([cell], decimal, None) for decimal in (".", ","))


def _cells(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return the columns of the rows that have the most frequent length."""
    width = len(rows[0]) if rows else 0
    return [[row[c] for row in rows if len(row) == width] for c in range(width)]


def best_marks(columns: Sequence[Sequence[str]], quoted: bool = False) -> tuple[str, str | None]:
    """Return the decimal mark and the thousands separator by which most columns are numbers; of equal ones the plainest.

    If cells with commas are `quoted` in a file with commas, the commas more likely group thousands.
    """
    marks = sorted(MARKS, key=lambda m: m == (",", None)) if quoted else MARKS
    readable = [sum(_are_numbers(cells, decimal, thousands) for cells in columns) for decimal, thousands in marks]
    return marks[int(np.argmax(readable))]


def _are_numbers(cells: Sequence[str], decimal: str, thousands: str | None) -> bool:
    values, bad = numbers(pa.array(cells, pa.string()), TableFormat(decimal=decimal, thousands=thousands))
    return bool(not bad.any() and np.isfinite(values).any())
