"""Some rows of a table as Arrow columns. A cell that cannot be read is noted with file, column and row."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stream.replay.mistakes import Mistakes, Refused

Mask = npt.NDArray[np.bool_]
_SHOWN = 60  # characters of a cell that a message shows


@dataclass
class Block:
    """n rows of a file; `numbers` (n,) are theirs in the file, from 1 without the header. `ok` (n,): without a mistake so far."""

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
        """The cells (n,) of a column: an Arrow array, binary as text. Cells that are no text are refused, and null."""
        cells = self.batch.column(name)
        if pa.types.is_dictionary(cells.type):
            cells = cells.dictionary_decode()
        if not (pa.types.is_binary(cells.type) or pa.types.is_large_binary(cells.type)):
            return cells
        try:
            return cells.cast(pa.string())
        except pa.ArrowInvalid:
            texts = [_text(cell) for cell in cells.to_pylist()]
            bad = np.array([text is None for text in texts])
            allowed = "text in UTF-8; write the file's encoding in the mapping, such as encoding: windows-1252"
            self.refuse(name, bad, allowed)
            return pa.array(texts, pa.string())

    def refuse(self, column: str, bad: Mask, allowed: str, cells: Any = None) -> None:
        """Note the rows where `bad` (n,) is true, unless they have a mistake already. Raises ReplayError unless counting.

        `cells` (n,) are what a message shows, if not the column.
        """
        rows = np.flatnonzero(bad & self.ok)
        if len(rows):
            row = int(rows[0])
            found = _shown((self.batch.column(column) if cells is None else cells)[row].as_py())
            self.mistakes.add(Refused(self.path, column, int(self.numbers[row]), found, allowed), len(rows))
            self.ok[rows] = False

    def kinds(self, name: str) -> tuple[list[Any], npt.NDArray[np.int64]]:
        """The different cells of a column, None among them where one is empty in Parquet, and the index (n,) of each row's."""
        encoded = pc.dictionary_encode(self.column(name), null_encoding="encode")
        return encoded.dictionary.to_pylist(), encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)


def _text(cell: bytes) -> str | None:
    try:
        return cell.decode()
    except UnicodeDecodeError:
        return None


def _shown(cell: Any) -> str:
    """A cell in a message: bytes as the text they mostly are, times as they are written."""
    if cell is None:
        return "nothing"
    if isinstance(cell, bytes):
        cell = cell.decode(errors="backslashreplace")
    text = repr(cell if isinstance(cell, str | int | float | bool) else str(cell))
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
