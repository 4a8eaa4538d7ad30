"""How refusals spread over devices, roughly, in 128 numbers.

Each device has one of 64 places. A place holds its devices' refusals twice: their sum, and their sum with a sign for each device
(a count sketch: Charikar, Chen, Farach-Colton 2002). Sums say how heavy the heaviest are. The squares of the signed ones add up to
about the squares of all devices' refusals, however many share a place. Keys are hashed alike in every process: a spread is written,
read back, and added to others.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

PLACES = 64
_BITS = 6

Spread = npt.NDArray[np.int64]  # (2, PLACES): sums, and sums with signs


def no_spread() -> Spread:
    """That of no refusals."""
    return np.zeros((2, PLACES), np.int64)


def add(spread: Spread, places: npt.NDArray[np.int64], signs: npt.NDArray[np.int64]) -> None:
    """Count one refusal of each of the keys with these places (n,) and signs (n,)."""
    np.add.at(spread[0], places, 1)
    np.add.at(spread[1], places, signs)


def places_of(keys: Sequence[bytes]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Place (n,) and sign (n,) of each key."""
    hashes = _mixed(np.fromiter(map(zlib.crc32, keys), np.uint64, len(keys)))
    places = (hashes >> np.uint64(64 - _BITS)).astype(np.int64)
    signs = (hashes & np.uint64(1)).astype(np.int64) * 2 - 1
    return places, signs


def most_devices(places: int) -> float:
    """About how many devices occupy so many places (linear counting: Whang et al. 1990); no bound where all are taken."""
    return PLACES * float(np.log(PLACES / (PLACES - places))) if places < PLACES else float("inf")


def _mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The finaliser of splitmix64 (Steele, Lea, Flood 2014): each bit of the value decides about all bits of the hash."""
    with np.errstate(over="ignore"):
        x = values + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
