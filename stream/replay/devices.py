"""The names of a replay's devices, exactly as they are written, with one index for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stream.replay.cells.block import Block
from stream.replay.mapping.schema import DeviceSource

_LONGEST = 128
_ALLOWED = f"a name of 1 to {_LONGEST} characters"


class DeviceNames(Sequence[str]):
    """Names in the order of their first appearance; with a format of row numbers, names are not kept."""

    def __init__(self, row_format: str | None = None) -> None:
        self._row_format = row_format
        self._rows = 0
        self._index: dict[str, int] = {}
        self._names: list[str] = []

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if self._row_format is None:
            return self._names[index]
        if isinstance(index, slice):
            return [self._row_format.format(i + 1) for i in range(*index.indices(len(self)))]
        if index >= len(self):
            raise IndexError(index)
        return self._row_format.format(index + 1)

    def __len__(self) -> int:
        return self._rows if self._row_format is not None else len(self._names)

    def add(self, name: str) -> int:
        """Return the index of a name, new or known."""
        index = self._index.setdefault(name, len(self._names))
        if index == len(self._names):
            self._names.append(name)
        return index

    def of_rows(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the indices (n,) of devices that are named by the place of their rows (n,), from 0."""
        self._rows = max(self._rows, int(rows.max(initial=-1)) + 1)
        return rows


def device_indices(
    block: Block, source: DeviceSource, names: DeviceNames, rows: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Return the indices (n,) of a block's devices; `rows` (n,) are their places in all files. 0 for an unreadable name."""
    if source.row is not None:
        return names.of_rows(rows)
    if source.name is not None:
        return np.full(len(block), names.add(source.name), np.int64)
    column = str(source.column)
    if not _is_name(block.column(column).type):
        block.refuse(
            column,
            np.ones(len(block), np.bool_),
            "text or whole numbers, because other types do not keep how an id is written",
        )
        return np.zeros(len(block), np.int64)
    cells, kinds = block.kinds(column)
    texts = ["" if cell is None else str(cell) for cell in cells]
    fits = np.array([1 <= len(text) <= _LONGEST for text in texts], np.bool_)[kinds]
    block.refuse(column, ~fits, _ALLOWED)
    used = np.zeros(len(texts), np.bool_)
    used[kinds[block.ok]] = True
    indices = np.array([names.add(text) if seen else 0 for text, seen in zip(texts, used, strict=True)], np.int64)
    return indices[kinds]


def _is_name(kind: Any) -> bool:
    types = pa.types
    text: bool = types.is_string(kind) or types.is_integer(kind)
    return text
