"""Readings from the cells of a block: numbers, words as numbers, constants; in wide or long format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aimaas.fleet import FleetSpec
from stream.replay.cells.arrays import Mask, values_of
from stream.replay.cells.block import Block
from stream.replay.cells.numbers import Float64, missing, numbers
from stream.replay.cells.words import listed, word
from stream.replay.mapping.schema import Mapping, ReadingSource, ReplayError, TableFormat


class ReadingsReader:
    """Reads the fleet's readings from the blocks of one table."""

    def __init__(self, fleet: FleetSpec, mapping: Mapping) -> None:
        self._mapping = mapping
        self._sources = [(name, mapping.readings[name]) for name in fleet.readings]
        self._silent = {name for name, source in self._sources if source.column is not None}

    @property
    def columns(self) -> list[str]:
        """The columns that it reads."""
        if self._mapping.long:
            return [self._mapping.long.tag, self._mapping.long.value]
        return [source.column for _, source in self._sources if source.column is not None]

    @property
    def optional(self) -> frozenset[str]:
        """The columns among them that the file need not have."""
        return frozenset(str(s.column) for _, s in self._sources if s.optional and not self._mapping.long)

    def read(self, block: Block) -> Float64:
        """Return readings (n, R) in the order of the fleet's, NaN for null."""
        values = np.full((len(block), len(self._sources)), np.nan)
        tags = block.kinds(self._mapping.long.tag) if self._mapping.long else None
        for c, (name, source) in enumerate(self._sources):
            if source.column is None:
                values[:, c] = source.constant
            elif tags is not None:
                self._of_tag(block, source.column, source, tags, values[:, c])
            elif source.column in block.batch.schema.names:
                values[:, c] = self._of_cells(block, source.column, source)
            if name in self._silent and not np.isnan(values[:, c]).all():
                self._silent.discard(name)
        return values

    def mapped(self, block: Block) -> Mask:
        """Return the rows (n,) to use: all, or in long format the rows whose tag is a reading."""
        if not self._mapping.long:
            return np.ones(len(block), np.bool_)
        cells, kinds = block.kinds(self._mapping.long.tag)
        known = {source.column for _, source in self._sources}
        return np.array([str(cell) in known for cell in cells], np.bool_)[kinds]

    def finish(self, path: Path) -> None:
        """Raise ReplayError if a reading has no value in the whole table."""
        optional = {name for name, source in self._sources if source.optional}
        silent = [name for name, _ in self._sources if name in self._silent - optional]
        if silent:
            what = "tag" if self._mapping.long else "column"
            column = self._mapping.readings[silent[0]].column
            raise ReplayError(
                f"{path}: {what} {column!r} has no value in any row (readings.{silent[0]}); mend its name or the format, or write "
                "optional: true where the reading may be null in all rows"
            )

    def _of_cells(self, block: Block, column: str, source: ReadingSource) -> Float64:
        values, bad, allowed = _converted(block.column(column), source, self._mapping)
        block.refuse(column, bad, allowed)
        return values

    def _of_tag(
        self,
        block: Block,
        tag: str,
        source: ReadingSource,
        tags: tuple[list[Any], npt.NDArray[np.int64]],
        into: Float64,
    ) -> None:
        """Set `into` (n,) for the rows with this tag."""
        cells, kinds = tags
        number = next((i for i, cell in enumerate(cells) if str(cell) == tag), None)
        if number is None or self._mapping.long is None:
            return
        at = np.flatnonzero(kinds == number)
        column = self._mapping.long.value
        values, bad, allowed = _converted(block.column(column).take(at), source, self._mapping)
        wrong = np.zeros(len(block), np.bool_)
        wrong[at] = bad
        block.refuse(column, wrong, f"{allowed} (tag {tag!r})")
        into[at] = values


def _converted(cells: Any, source: ReadingSource, written: TableFormat) -> tuple[Float64, Mask, str]:
    """Return values (n,) of an Arrow array, the refused cells (n,), and what is allowed instead."""
    if source.values is not None:
        return _of_words(cells, {word(w): number for w, number in source.values.items()}, written)
    values, bad = numbers(cells, written)
    if (source.scale, source.offset) != (1.0, 0.0):
        with np.errstate(over="ignore", invalid="ignore"):
            values = values * source.scale + source.offset
        bad = bad | np.isinf(values)
    return values, bad, _allowed_number(written)


def _of_words(cells: Any, words: dict[str, float], written: TableFormat) -> tuple[Float64, Mask, str]:
    encoded = cells.dictionary_encode(null_encoding="encode")
    kinds = values_of(encoded.indices)
    found = [words.get(word(cell), np.nan) for cell in encoded.dictionary.to_pylist()]
    values = np.array(found, np.float64)[kinds]
    return values, np.isnan(values) & ~missing(cells, written), f"one of {listed(words)}"


def _allowed_number(written: TableFormat) -> str:
    """Return the form of an allowed number, in the mapping's marks."""
    example = f"1{written.thousands or ''}234{written.decimal}5"
    return f"a finite number such as {example}, or nothing (decimal, thousands and missing in the mapping say how they are written)"
