"""Packed state from before readings were added: whose columns are these, and what stands for those that it lacks.

A packed device names its readings by a digest. Present readings without some of the nullable ones give the digest, or the fleet
file has changed in another way and nothing is guessed.
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
    """Where the columns (r,) of older rows lie in those of today (R,), and what fills the others."""

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
    """The layouts that state of `readings` can be read from; `fills` has the readings that may have been added."""

    readings: tuple[str, ...]
    fills: Mapping[str, float]
    _known: dict[tuple[bytes, int], Layout | None] = field(default_factory=dict)

    def of(self, digest: bytes, count: int) -> Layout | None:
        """The layout of rows with `count` readings and this digest; None where they are not today's without some of `fills`."""
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
