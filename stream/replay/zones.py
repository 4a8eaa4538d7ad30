"""Times of a zone's clocks as moments, and which of them come twice or never."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stream.replay.mapping import ReplayError

Int64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def in_zone(clock_us: Int64, zone: str, ambiguous: Literal["refuse", "earlier", "later"]) -> tuple[Int64, Mask, Mask]:
    """Moments (n,) in microseconds since 1970; which times (n,) come twice and are refused, and which never come.

    `clock_us` (n,) is what the clocks show, as if they were UTC's. Raises ReplayError where the system does not know the zone.
    """
    clock = pa.array(clock_us).cast(pa.timestamp("us"))
    try:
        earlier, later = (
            pc.assume_timezone(clock, zone, ambiguous=side, nonexistent=side).cast(pa.int64()).to_numpy()
            for side in ("earliest", "latest")
        )
    except pa.ArrowInvalid as e:
        raise ReplayError(
            f"time zone {zone}: {' '.join(str(e).split())}; install the system's package tzdata"
        ) from None
    apart = later - earlier
    never = (apart != 0) & (apart <= 1_000)  # the last moment before a gap and the first behind it
    twice = (apart != 0) & ~never
    refused = twice if ambiguous == "refuse" else np.zeros(len(twice), np.bool_)
    return later if ambiguous == "later" else earlier, refused, never
