"""Packed device state from before readings were added: its columns, and the values for readings that it lacks.

A packed device names its readings by a digest. If the present readings without some of the nullable ones give the same digest, the
layout is known. Otherwise the fleet file changed in another way, and nothing is guessed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import numpy.typing as npt

_MOST_TRIED = 100_000  # sets of added readings, each a SHA-256: 0.1 s


def readings_digest(readings: Sequence[str]) -> bytes:
    """8 bytes that stand for the names in their order."""
    return hashlib.sha256("\0".join(readings).encode()).digest()[:8]


@dataclass(frozen=True)
class Layout:
    """The positions of the columns (r,) of older rows among the present ones (R,), and the values that fill the others."""

    at: npt.NDArray[np.int64]
    fills: npt.NDArray[np.float32]

    def widened(self, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Rows (n, r) as rows (n, R)."""
        if len(self.at) == len(self.fills):
            return rows
        out = np.tile(self.fills, (len(rows), 1))
        out[:, self.at] = rows
        return out


@dataclass
class Layouts:
    """The layouts from which state of `readings` can be read; `fills` has the readings that may have been added."""

    readings: tuple[str, ...]
    fills: Mapping[str, float]
    _known: dict[tuple[bytes, int], Layout | None] = field(default_factory=dict)

    def of(self, digest: bytes, count: int) -> Layout | None:
        """The layout of rows with `count` readings and this digest; None if no set of `fills` explains it."""
        if (digest, count) not in self._known:
            self._known[digest, count] = self._find(digest, count)
        return self._known[digest, count]

    def _find(self, digest: bytes, count: int) -> Layout | None:
        missing = len(self.readings) - count
        if missing < 0:
            return None
        for tried, added in enumerate(combinations(self.fills, missing)):
            at = [i for i, name in enumerate(self.readings) if name not in added]
            if readings_digest([self.readings[i] for i in at]) == digest:
                fills = np.array([self.fills.get(name, 0.0) for name in self.readings], np.float32)
                return Layout(np.array(at, np.int64), fills)
            if tried == _MOST_TRIED:
                break
        return None
