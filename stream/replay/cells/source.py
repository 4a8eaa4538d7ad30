"""Opens a recorded table, CSV or Parquet, and yields it in blocks: memory is constant for any size of the file.

CSV stays text, without type inference, so ids stay as they are written. Only the requested columns are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from stream.replay.cells.block import Block
from stream.replay.cells.csv_source import Torn, csv_batches, header, require_columns
from stream.replay.cells.mistakes import Mistakes
from stream.replay.mapping.schema import ReplayError, TableFormat

ReadProgress = Callable[[int, int], None]  # bytes read, bytes in all
_PARQUET_ROWS = 16_384
_OTHERS = {
    b"PK\x03\x04": "an Excel or zip file: save it as CSV",
    b"\xd0\xcf\x11\xe0": "an old Excel file: save it as CSV",
    b"ARROW1": "an Arrow or Feather file: write it as Parquet",
    b"ORC": "an ORC file: write it as Parquet",
    b"SQLite": "an SQLite database: export the table as CSV",
    b"\x89HDF": "an HDF5 file: export the table as CSV or Parquet",
}


@dataclass(frozen=True)
class Wanted:
    """The columns to read, in any order; the file need not have the `optional` ones."""

    columns: Sequence[str]
    optional: Set[str] = frozenset()

    def of(self, names: Sequence[str]) -> list[str]:
        """Return the wanted columns that a table with columns `names` must give."""
        return [c for c in dict.fromkeys(self.columns) if c in names or c not in self.optional]


def blocks(
    path: Path, written: TableFormat, wanted: Wanted, mistakes: Mistakes, progress: ReadProgress | None = None
) -> Iterator[Block]:
    """Yield the wanted columns of a table in blocks, in the order of the file. Raises ReplayError."""
    try:
        batches = _parquet_batches(path, wanted) if is_parquet(path) else _csv_batches(path, written, wanted)
        yield from _numbered(path, batches, mistakes, progress)
    except OSError as e:
        raise ReplayError(f"{path}: cannot be read ({e.strerror or e})") from None
    except UnicodeDecodeError as e:
        byte = e.object[e.start : e.start + 1].hex()
        raise ReplayError(
            f"{path}: byte 0x{byte} is not in {written.encoding}; write the file's encoding in the mapping, such as "
            "encoding: latin-1"
        ) from None
    except (pa.ArrowException, UnicodeError) as e:
        raise ReplayError(f"{path}: no table ({' '.join(str(e).split())}); allowed: CSV in UTF-8, or Parquet") from None


def _numbered(
    path: Path, batches: Iterator[tuple[Any, int, list[Torn]]], mistakes: Mistakes, progress: ReadProgress | None
) -> Iterator[Block]:
    """Yield blocks with the rows' numbers in the file, torn rows counted."""
    total, following = path.stat().st_size, 1
    torn: set[int] = set()
    for batch, done, found in batches:
        for row, what, allowed in found:
            mistakes.torn(path, row, what, allowed)
        torn |= {row for row, _, _ in found}
        numbers = np.arange(following, following + batch.num_rows + len(torn))
        numbers = numbers[~np.isin(numbers, list(torn))][: batch.num_rows] if torn else numbers
        if batch.num_rows:
            following = int(numbers[-1]) + 1
            torn = {row for row in torn if row >= following}
            yield Block(path, batch, numbers, mistakes)
        if progress:
            progress(min(done, total), total)


def is_parquet(path: Path) -> bool:
    """Return whether a file is Parquet, not CSV. Raises ReplayError for another kind of file, and OSError."""
    return _beginning(path).startswith(b"PAR1")


def _beginning(path: Path) -> bytes:
    """Return the first bytes of a file. Raises ReplayError for another kind of file, OSError if it cannot be read."""
    with path.open("rb") as file:
        beginning = file.read(16)
    if not beginning:
        raise ReplayError(f"{path}: is empty; allowed: CSV, or Parquet")
    for magic, what in _OTHERS.items():
        if beginning.startswith(magic):
            raise ReplayError(f"{path}: is {what}")
    return beginning


def _csv_batches(path: Path, written: TableFormat, wanted: Wanted) -> Iterator[tuple[Any, int, list[Torn]]]:
    """Like `csv_batches`; checks the header first."""
    names = header(path, written)
    columns = wanted.of(names)
    require_columns(path, names, columns, written.delimiter)
    return csv_batches(path, written, columns)


def _parquet_batches(path: Path, wanted: Wanted) -> Iterator[tuple[Any, int, list[Torn]]]:
    """Yield batches, bytes read so far (in proportion to the rows), and no torn rows."""
    with parquet.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
        names = file.schema_arrow.names
        columns = wanted.of(names)
        require_columns(path, names, columns)
        done, rows, size = 0, file.metadata.num_rows, path.stat().st_size
        for batch in file.iter_batches(batch_size=_PARQUET_ROWS, columns=columns, use_threads=False):
            done += batch.num_rows
            yield batch, size * done // max(rows, 1), []
