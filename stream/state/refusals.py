"""The limit on dead letters: how large a share of a partition's records was refused lately, by the broker's clock.

A bad deployment of a device's software must stop the scorer, not drain the topic into dead letters. The counts are kept in the
state topic, in the transaction that moves the offsets, and are judged before it: a scorer that stops for them stops again at the
same records, however often a supervisor starts it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from aimaas.admission import Reason
from aimaas.errors import DeadLetterLimitError

WINDOW_MS, BUCKET_MS = 600_000, 60_000
AT_LEAST = 100  # refused records in the window, before a share says anything
_ENTRY = struct.Struct("<qqq")  # bucket, judged, refused
_RESENT = (Reason.LATE, Reason.DUPLICATE)  # a gateway that sends again after an outage is no bad deployment


@dataclass
class RefusalWindow:
    """Judged and refused records of one partition by minute of broker time, over the last ten minutes it has seen.

    Records that are late or come twice count as neither.
    """

    buckets: dict[int, tuple[int, int]] = field(default_factory=dict)  # bucket -> (judged, refused)
    changed: bool = False

    def count(self, broker_ms: npt.NDArray[np.int64], reasons: npt.NDArray[np.int8]) -> None:
        """Count records (n,) with their broker times in ms and reasons."""
        counts = ~np.isin(reasons, _RESENT)
        bucket = broker_ms[counts] // BUCKET_MS
        bad = reasons[counts] != Reason.ADMITTED
        for b in np.unique(bucket).tolist():
            here = bucket == b
            judged, refused = self.buckets.get(b, (0, 0))
            self.buckets[b] = judged + int(here.sum()), refused + int(bad[here].sum())
        newest = max(self.buckets, default=0)
        self.buckets = {b: n for b, n in self.buckets.items() if b > newest - WINDOW_MS // BUCKET_MS}
        self.changed |= any(refused for _, refused in self.buckets.values())

    @property
    def judged(self) -> int:
        """Records in the window."""
        return sum(judged for judged, _ in self.buckets.values())

    @property
    def refused(self) -> int:
        """Refused records in the window."""
        return sum(refused for _, refused in self.buckets.values())

    def pack(self) -> bytes:
        """The counts as bytes; says that they are written."""
        self.changed = False
        return b"".join(_ENTRY.pack(b, judged, refused) for b, (judged, refused) in sorted(self.buckets.items()))

    @classmethod
    def unpack(cls, packed: bytes) -> RefusalWindow:
        """Read them back."""
        return cls({b: (judged, refused) for b, judged, refused in _ENTRY.iter_unpack(packed)})


def check_limit(windows: Iterable[RefusalWindow], limit: float, topic: str, example: str) -> None:
    """Raise DeadLetterLimitError where more than the share `limit` of all records in the windows was refused."""
    all_windows = list(windows)
    judged, refused = sum(w.judged for w in all_windows), sum(w.refused for w in all_windows)
    if refused >= AT_LEAST and refused > limit * judged:
        raise DeadLetterLimitError(
            f"{topic}: {refused} of the last {judged} records were refused ({refused / judged:.0%}), allowed are {limit:.0%} "
            f"(quality.refused_share), the last because {example}; nothing of it was committed. Mend what sends them, or raise "
            "the share in the fleet file to put them all on the dead-letter topic, and start the scorer again"
        )
