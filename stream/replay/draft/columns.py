"""Surveys the columns of a table, block by block in constant memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stream.replay.cells.block import Block
from stream.replay.cells.mistakes import Mistakes
from stream.replay.cells.numbers import missing, numbers
from stream.replay.cells.source import ReadProgress, Wanted, blocks
from stream.replay.draft.times import holds, is_clock, readings_of_time
from stream.replay.mapping.schema import TableFormat, TimeSource

MOST_WORDS = 50  # different cells of a column that are kept
_LARGEST = 1e30  # of a reading, as fleet files allow
_STRANGE = 20  # cells that are no numbers, kept as examples


@dataclass
class Column:
    """A column so far: n `rows`, of them `missing`, `numbers` and `strange` ones (neither).

    `words` are its different cells with their counts, None where there are more than 50. All cells are times in each of `ways`.
    """

    name: str
    rows: int = 0
    missing: int = 0
    numbers: int = 0
    low: float = np.inf
    high: float = -np.inf
    whole: bool = True
    leading_zeros: bool = False
    is_name: bool = True  # whether all cells may be device ids
    clock: bool = True
    strange: dict[str, None] = field(default_factory=dict)
    words: dict[str, int] | None = field(default_factory=dict)
    ways: list[TimeSource] = field(default_factory=list)
    first: str = ""

    @property
    def is_number(self) -> bool:
        """Return whether it can be a reading: all numbers within the limits of a fleet file, or missing."""
        return not self.strange and self.numbers > 0 and max(-self.low, self.high) <= _LARGEST

    @property
    def is_constant(self) -> bool:
        """Return whether all its values are the same."""
        if self.numbers and not self.strange:
            return self.low == self.high
        return self.words is not None and len(self.words) == 1

    @property
    def is_flag(self) -> bool:
        """Return whether it holds only 0 and 1."""
        return self.is_number and self.whole and (self.low, self.high) == (0.0, 1.0)

    def add(self, block: Block, written: TableFormat) -> None:
        """Add the cells of a block."""
        cells = block.column(self.name)
        if self.rows == 0:
            self.first = str(cells[0].as_py())
            self.ways = readings_of_time(self.name, cells, written)
        elif self.ways:
            self.ways = [way for way in self.ways if holds(way, cells, written)]
        self.rows += len(cells)
        self.is_name = self.is_name and _are_names(cells)
        self.clock = self.clock and is_clock(cells)
        self._add_numbers(cells, written)
        self._add_words(cells)

    def _add_numbers(self, cells: Any, written: TableFormat) -> None:
        values, bad = numbers(cells, written)
        found = values[~np.isnan(values) & ~bad]
        self.missing += int((np.isnan(values) & ~bad).sum())
        self.numbers += len(found)
        if len(found):
            self.low, self.high = min(self.low, float(found.min())), max(self.high, float(found.max()))
            self.whole = self.whole and bool((found == np.floor(found)).all())
        if bad.any() and len(self.strange) < _STRANGE:
            for cell in cells.filter(pa.array(bad))[:_STRANGE].to_pylist():
                self.strange.setdefault(str(cell))
        if pa.types.is_string(cells.type) and not self.leading_zeros:
            self.leading_zeros = bool(pc.any(pc.match_substring_regex(cells, "^0[0-9]+$")).as_py())

    def _add_words(self, cells: Any) -> None:
        if self.words is None:
            return
        counted = pc.value_counts(cells)
        if len(counted) + len(self.words) > 2 * MOST_WORDS:
            self.words = None
            return
        for word, count in zip(counted.field(0).to_pylist(), counted.field(1).to_pylist(), strict=True):
            key = "" if word is None else str(word)
            self.words[key] = self.words.get(key, 0) + count
        if len(self.words) > MOST_WORDS:
            self.words = None


def _are_names(cells: Any) -> bool:
    if cells.null_count or not (pa.types.is_string(cells.type) or pa.types.is_integer(cells.type)):
        return False
    if pa.types.is_integer(cells.type):
        return True
    lengths = pc.utf8_length(cells)
    return not missing(cells, TableFormat()).any() and bool(pc.all(pc.less_equal(lengths, 128)).as_py())


def survey(
    path: Path, written: TableFormat, names: list[str], mistakes: Mistakes, progress: ReadProgress | None
) -> list[Column]:
    """Survey the columns of a table with columns `names`; reads all of it. Raises ReplayError."""
    columns = [Column(name) for name in names]
    for block in blocks(path, written, Wanted(names), mistakes, progress):
        for column in columns:
            column.add(block, written)
    return columns
