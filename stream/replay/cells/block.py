"""Some rows of a table as Arrow columns. An unreadable cell is noted with file, column and row."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stream.replay.cells.arrays import Mask, is_absent, texts_of, values_of
from stream.replay.cells.mistakes import Mistakes, Refused

_TEXTS = (
    pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_binary, pa.types.is_large_binary,
    pa.types.is_fixed_size_binary, pa.types.is_null,
)  # fmt: skip
_SHOWN = 60  # characters of a cell in a message


@dataclass
class Block:
    """n rows of a file; `numbers` (n,) are their row numbers, from 1 without the header. `ok` (n,): without a mistake so far."""

    path: Path
    batch: Any
    numbers: npt.NDArray[np.int64]
    mistakes: Mistakes
    ok: Mask = field(init=False)

    def __post_init__(self) -> None:
        self.ok = np.ones(self.batch.num_rows, np.bool_)

    def __len__(self) -> int:
        return len(self.ok)

    def column(self, name: str) -> Any:
        """Return the cells (n,) of a column: an Arrow array of numbers, times or `string`, bytes as text.

        Other cells are refused, and null.
        """
        cells = self.batch.column(name)
        if pa.types.is_dictionary(cells.type):
            cells = cells.dictionary_decode()
        if pa.types.is_nested(cells.type) or isinstance(cells.type, pa.BaseExtensionType):
            self.refuse(name, ~is_absent(cells), f"a plain value, not {cells.type}")
            return pa.nulls(len(self), pa.string())
        if pa.types.is_float16(cells.type):
            return cells.cast(pa.float64())
        if not any(is_text(cells.type) for is_text in _TEXTS):
            return cells
        try:
            return cells.cast(pa.string())
        except pa.ArrowInvalid:
            texts = [_text(cell) for cell in cells.to_pylist()]
            bad = np.array([text is None for text in texts])
            allowed = "text in UTF-8; give the file's encoding in the mapping, such as encoding: windows-1252"
            self.refuse(name, bad, allowed)
            return texts_of([text or "" for text in texts])

    def refuse(self, column: str, bad: Mask, allowed: str, cells: Any = None) -> None:
        """Note the rows with `bad` (n,) true, unless they have a mistake already. Raises ReplayError unless counting.

        `cells` (n,) are the cells for a message, if not the column's.
        """
        rows = np.flatnonzero(bad & self.ok)
        if len(rows):
            row = int(rows[0])
            found = _shown((self.batch.column(column) if cells is None else cells)[row].as_py())
            self.mistakes.add(Refused(self.path, column, int(self.numbers[row]), found, allowed), len(rows))
            self.ok[rows] = False

    def kinds(self, name: str) -> tuple[list[Any], npt.NDArray[np.int64]]:
        """Return the different cells of a column (None for empty ones in Parquet), and the index (n,) of each row's cell."""
        encoded = pc.dictionary_encode(self.column(name), null_encoding="encode")
        return encoded.dictionary.to_pylist(), values_of(encoded.indices).astype(np.int64)


def _text(cell: bytes | None) -> str | None:
    try:
        return "" if cell is None else cell.decode()
    except UnicodeDecodeError:
        return None


def _shown(cell: Any) -> str:
    """Return a cell for a message: bytes as text, times as they are written."""
    if cell is None:
        return "nothing"
    if isinstance(cell, bytes):
        text = _text(cell)
        return _cut(repr(cell)[1:] if text is None else repr(text))
    return _cut(repr(cell if isinstance(cell, str | int | float | bool) else str(cell)))


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
