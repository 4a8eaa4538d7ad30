"""The approximate spread of refusals over devices, in 128 numbers.

Each device has one of 64 places. A place holds its devices' refusals twice: their sum, and their sum with a sign for each
device (a count sketch: Charikar, Chen, Farach-Colton 2002). The sums show how many refusals the heaviest devices have. The
squares of the signed sums add up to about the squares of all devices' refusals, however many devices share a place. Keys
have the same hash in every process, because a spread is written, read back, and added to others.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

PLACES = 64
_BITS = 6

Spread = npt.NDArray[np.int64]  # (2, PLACES): sums, and signed sums


def no_spread() -> Spread:
    """Return the spread without refusals."""
    return np.zeros((2, PLACES), np.int64)


def add(spread: Spread, places: npt.NDArray[np.int64], signs: npt.NDArray[np.int64]) -> None:
    """Count one refusal for each of the keys with these places (n,) and signs (n,)."""
    np.add.at(spread[0], places, 1)
    np.add.at(spread[1], places, signs)


def places_of(keys: Sequence[bytes]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return place (n,) and sign (n,) of each key."""
    hashes = _mixed(np.fromiter(map(zlib.crc32, keys), np.uint64, len(keys)))
    places = (hashes >> np.uint64(64 - _BITS)).astype(np.int64)
    signs = (hashes & np.uint64(1)).astype(np.int64) * 2 - 1
    return places, signs


def most_devices(places: int) -> float:
    """Estimate how many devices occupy this many places (linear counting: Whang et al. 1990). Infinite if all are occupied."""
    return PLACES * float(np.log(PLACES / (PLACES - places))) if places < PLACES else float("inf")


def _mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Apply the finaliser of splitmix64 (Steele, Lea, Flood 2014): each bit of the value decides about all bits of the hash."""
    with np.errstate(over="ignore"):
        x = values + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
