"""Reads the outcomes of runs from rows: words of a column, and the failure mode beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from aimaas.records.events import OutcomeKind
from stream.replay.cells.block import Block
from stream.replay.cells.words import listed, word
from stream.replay.mapping.schema import OutcomeWords, ReplayError
from stream.replay.rows import ENDINGS, NOTHING

Int8 = npt.NDArray[np.int8]
Int16 = npt.NDArray[np.int16]
_YES, _NO = ("1", "true"), ("0", "false", "")
_REMEMBERED = 10  # words without a meaning, for the message if no word matches


class OutcomeReader:
    """Reads outcomes from the blocks of one table. `modes` are the names of modes, shared with other tables."""

    def __init__(self, source: OutcomeWords, modes: list[str], key: str, kind: OutcomeKind | None = None) -> None:
        """`key` is the mapping's key, for messages; `kind` is the outcome of every row if no column has one."""
        self._source, self._modes, self._key, self._kind = source, modes, key, kind
        given = {"failed": source.failed, "repaired": source.repaired, "retired": source.retired}
        self._endings = {word(w): ENDINGS.index(name) for name, words in given.items() for w in words}
        self._unmatched = {word(w): f"{name}: {w!r}" for name, words in given.items() for w in words}
        self._others: dict[str, None] = {}

    @property
    def columns(self) -> list[str]:
        """The columns that it reads."""
        s = self._source
        return [c for c in (s.column, s.mode, *s.modes) if c is not None]

    def read(self, block: Block) -> tuple[Int8, Int16]:
        """Return for each row (n,) its ending (an index into ENDINGS), and its mode (-1 for none)."""
        ending = self._ending(block)
        mode = np.full(len(block), -1, np.int16)
        stated = ending != NOTHING
        if self._source.mode is not None and stated.any():
            cells, kinds = block.kinds(self._source.mode)
            numbers = np.array([self._mode("" if cell is None else str(cell).strip()) for cell in cells], np.int16)
            mode = np.where(stated, numbers[kinds], -1).astype(np.int16)
        for column, name in self._source.modes.items() if stated.any() else ():
            cells, kinds = block.kinds(column)
            words = [word(cell) for cell in cells]
            flagged = np.array([w in _YES for w in words], np.bool_)[kinds]
            known = np.array([w in (*_YES, *_NO) for w in words], np.bool_)[kinds]
            block.refuse(column, stated & ~known, "1 or 0, true or false, or nothing")
            mode[stated & flagged & (mode < 0)] = self._mode(name)
        return ending, mode

    def _ending(self, block: Block) -> Int8:
        if self._kind is not None:
            return np.full(len(block), ENDINGS.index(self._kind), np.int8)
        if self._source.column is None:
            return np.zeros(len(block), np.int8)
        cells, kinds = block.kinds(self._source.column)
        words = [word(cell) for cell in cells]
        for found in words:
            self._unmatched.pop(found, None)
            if found not in self._endings and len(self._others) < _REMEMBERED:
                self._others[found] = None
        return np.array([self._endings.get(w, NOTHING) for w in words], np.int8)[kinds]

    def _mode(self, name: str) -> int:
        """Return the number of a mode, -1 for none."""
        if not name:
            return -1
        if name not in self._modes:
            self._modes.append(name)
        return self._modes.index(name)

    def finish(self, path: Path) -> None:
        """Raise ReplayError if a word of the mapping was in no row."""
        if self._unmatched and not self._source.optional:
            words, key = ", ".join(self._unmatched.values()), self._key
            others = f"; other words there: {listed(self._others)}" if self._others else ""
            raise ReplayError(
                f"{path}: {key}.{words}: no row of column {self._source.column!r} says so{others}; mend the word, or write "
                f"{key}.optional: true where it may be absent"
            )
