"""Sorts more rows than fit into memory: sorted runs on disk, merged part by part.

Arrow sorts only in memory, and a database would be one more dependency, so this is our own code.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stream.replay.mapping.schema import ReplayError
from stream.replay.rows import Rows

MEMORY_BYTES = 4 << 20  # of a run in memory, and of all merged parts together


class ExternalSort:
    """Rows sorted by the fields `by`, all of them integers.

    Up to `memory_bytes` of rows (default MEMORY_BYTES) stay in memory; the others are in `folder`.
    """

    def __init__(self, kind: np.dtype[Any], by: Sequence[str], folder: Path, memory_bytes: int | None = None) -> None:
        self._kind, self._by, self._folder = kind, tuple(by), folder
        self._most = max(2, (memory_bytes or MEMORY_BYTES) // kind.itemsize)
        self._step = max(1, self._most // 8)
        self._held: Rows = np.empty(self._most, kind)  # one buffer for all runs, its pages taken as they are filled
        self._rows_held = 0
        self._runs: list[Path] = []

    def add(self, rows: Rows) -> None:
        """Add rows (n,) in any order. Raises ReplayError if the disk is full."""
        while len(rows):
            fits, rows = rows[: self._most - self._rows_held], rows[self._most - self._rows_held :]
            self._held[self._rows_held : self._rows_held + len(fits)] = fits
            self._rows_held += len(fits)
            if self._rows_held >= self._most:
                self._spill()

    def sorted(self) -> Iterator[Rows]:
        """Yield all rows in order, in parts. Works once, because it deletes the rows it has read. Raises OSError."""
        if not self._runs:
            yield from self._in_order(self._held[: self._rows_held])
            return
        if self._rows_held:
            self._spill()
        self._held = self._held[:0].copy()
        yield from self._merged([_Run(path, self._kind) for path in self._runs])

    def _in_order(self, rows: Rows) -> Iterator[Rows]:
        """Yield rows (n,) in order, in parts: a sorted copy of them all takes their memory again."""
        order = _order(rows, self._by)
        for first in range(0, len(rows), self._step):
            yield rows[order[first : first + self._step]]

    def _spill(self) -> None:
        path = self._folder / f"{id(self)}-{len(self._runs)}.rows"
        try:
            with path.open("wb") as file:
                for part in self._in_order(self._held[: self._rows_held]):
                    part.tofile(file)
        except OSError as e:
            raise ReplayError(
                f"{path.parent}: no room for the rows of a large file ({e.strerror or e}); set TMPDIR to a folder with more space"
            ) from None
        self._runs.append(path)
        self._rows_held = 0

    def _merged(self, runs: list[_Run]) -> Iterator[Rows]:
        """Yield the rows that no unread row can precede: rows up to the smallest of the runs' last read rows."""
        each = max(2, self._most // len(runs))
        while runs:
            for run in runs:
                run.fill(each)
            ends = [_key(run.held[-1], self._by) for run in runs if not run.is_read]
            taken = [run.take(_up_to(run.held, self._by, min(ends)) if ends else len(run.held)) for run in runs]
            runs = [run for run in runs if not run.is_done]
            yield from self._in_order(np.concatenate(taken))


class _Run:
    """A sorted run on disk, with some of its rows in memory."""

    def __init__(self, path: Path, kind: np.dtype[Any]) -> None:
        self._path, self._kind, self._at = path, kind, 0
        self._rows = path.stat().st_size // kind.itemsize
        self.held: Rows = np.zeros(0, kind)

    @property
    def is_read(self) -> bool:
        """Return whether all rows are in memory or taken."""
        return self._at == self._rows

    @property
    def is_done(self) -> bool:
        """Return whether all rows are taken."""
        return self.is_read and not len(self.held)

    def fill(self, most: int) -> None:
        """Read until `most` rows are in memory, or all rows."""
        count = min(most - len(self.held), self._rows - self._at)
        if count > 0:
            read = np.fromfile(self._path, self._kind, count, offset=self._at * self._kind.itemsize)
            self.held = np.concatenate([self.held, read])
            self._at += count
            if self.is_read:
                self._path.unlink()

    def take(self, count: int) -> Rows:
        """Return the first `count` rows in memory."""
        taken, self.held = self.held[:count], self.held[count:]
        return taken


def _order(rows: Rows, by: Sequence[str]) -> npt.NDArray[np.int64]:
    order: npt.NDArray[np.int64] = np.lexsort([rows[name] for name in reversed(by)])
    return order


def _key(row: Any, by: Sequence[str]) -> tuple[int, ...]:
    return tuple(int(row[name]) for name in by)


def _up_to(rows: Rows, by: Sequence[str], key: tuple[int, ...]) -> int:
    """Return how many sorted rows are not behind `key`."""
    first, last = 0, len(rows)
    while first < last:
        middle = (first + last) // 2
        if _key(rows[middle], by) <= key:
            first = middle + 1
        else:
            last = middle
    return first
