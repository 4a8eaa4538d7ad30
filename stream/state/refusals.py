"""The recent refusals of a partition by the broker's clock, and how they spread over devices.

The counts are kept in the state topic, in the transaction that moves the offsets, and are judged before it
(`refusal_limit`): a scorer that they stop stops again at the same records, however often a supervisor starts it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from aimaas.admission.judge import Reason
from stream.state.spread import PLACES, Spread, add, no_spread, places_of

WINDOW_MS, BUCKET_MS = 600_000, 60_000
_OLD_ENTRY = struct.Struct("<qqq")  # bucket, judged, refused; the layout before devices were told apart
_ENTRY_BYTES = 4 * 8 + 4 * PLACES * 4  # bucket, judged, refused, refused with unknown keys; then the two spreads
_LAYOUT_2 = b"refused2"  # an old entry has zeros at the place of its last bytes
_RESENT = (Reason.LATE, Reason.DUPLICATE)  # a gateway that resends after an outage is no bad deployment


@dataclass(eq=False)
class Minute:
    """Records of a minute: judged, refused, refused with keys of no `known` device, and the spread of both over devices."""

    judged: int = 0
    refused: int = 0
    unknown: int = 0
    of_known: Spread = field(default_factory=no_spread)
    of_unknown: Spread = field(default_factory=no_spread)


@dataclass
class RefusalWindow:
    """Judged and refused records of one partition by minute of broker time, over the last ten minutes of records.

    Late and duplicate records count as neither. `named` has the newest refused key of each place of the two spreads.
    """

    buckets: dict[int, Minute] = field(default_factory=dict)
    changed: bool = False
    named: dict[int, bytes] = field(default_factory=dict)

    def count(
        self,
        broker_ms: npt.NDArray[np.int64],
        reasons: npt.NDArray[np.int8],
        keys: Sequence[bytes | None] = (),
        known: Sequence[bool] = (),
    ) -> None:
        """Count records (n,) with their broker times in ms and reasons.

        `keys` (r,) are the keys of the refused records, in order. `known` (r,) says whether the partition knows a device by
        the key.
        """
        counts = ~np.isin(reasons, _RESENT)
        bucket, bad = broker_ms // BUCKET_MS, (reasons != Reason.ADMITTED) & counts
        for b in np.unique(bucket[counts]).tolist():
            minute = self.buckets.setdefault(b, Minute())
            minute.judged += int((counts & (bucket == b)).sum())
        if bad.any():
            chosen = bad[reasons != Reason.ADMITTED]
            mine = [key or b"" for key, is_bad in zip(keys, chosen.tolist(), strict=True) if is_bad]
            self._count_refused(bucket[bad], mine, np.array(known, np.bool_)[chosen])
        newest = max(self.buckets, default=0)
        self.buckets = {b: n for b, n in self.buckets.items() if b > newest - WINDOW_MS // BUCKET_MS}
        self.changed |= any(minute.refused for minute in self.buckets.values())

    def _count_refused(self, bucket: npt.NDArray[np.int64], keys: list[bytes], known: npt.NDArray[np.bool_]) -> None:
        places, signs = places_of(keys)
        for b in np.unique(bucket).tolist():
            minute, here = self.buckets[b], bucket == b
            minute.refused += int(here.sum())
            minute.unknown += int((here & ~known).sum())
            add(minute.of_known, places[here & known], signs[here & known])
            add(minute.of_unknown, places[here & ~known], signs[here & ~known])
        self.named |= dict(zip((places + PLACES * ~known).tolist(), keys, strict=True))

    @property
    def judged(self) -> int:
        """Number of judged records in the window."""
        return sum(minute.judged for minute in self.buckets.values())

    @property
    def refused(self) -> int:
        """Number of refused records in the window."""
        return sum(minute.refused for minute in self.buckets.values())

    @property
    def begin_ms(self) -> int:
        """Broker time of the window's start."""
        return (max(self.buckets, default=0) + 1) * BUCKET_MS - WINDOW_MS

    def pack(self) -> bytes:
        """Return the counts as bytes, and mark them as written."""
        self.changed = False
        minutes = sorted(self.buckets.items())
        heads = np.array([(b, m.judged, m.refused, m.unknown) for b, m in minutes], "<i8")
        spreads = np.array([(m.of_known, m.of_unknown) for _, m in minutes], "<i4")
        return _LAYOUT_2 + zlib.compress(heads.tobytes() + spreads.tobytes(), 1)

    @classmethod
    def unpack(cls, packed: bytes) -> RefusalWindow:
        """Read the counts, also in the previous layout, which did not tell devices apart."""
        if not packed.startswith(_LAYOUT_2):
            return cls({b: Minute(judged, refused) for b, judged, refused in _OLD_ENTRY.iter_unpack(packed)})
        content = zlib.decompress(packed[len(_LAYOUT_2) :])
        minutes = len(content) // _ENTRY_BYTES
        heads = np.frombuffer(content, "<i8", 4 * minutes).reshape(minutes, 4).tolist()
        spreads = np.frombuffer(content, "<i4", offset=32 * minutes).reshape(minutes, 2, 2, PLACES).astype(np.int64)
        return cls({b: Minute(*counts, *spread) for (b, *counts), spread in zip(heads, spreads, strict=True)})
