"""When a part that ended is restarted: at once if it ran long enough, otherwise after growing pauses."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BackOff:
    """Pauses between the starts of a part that ends repeatedly. All in seconds."""

    first_s: float = 1.0
    longest_s: float = 60.0
    steady_s: float = 60.0  # a part that ran this long starts with no failures

    def failures(self, before: int, ran_s: float) -> int:
        """Return the number of failures in a row, after a part ended that ran `ran_s`. `before` excludes this failure."""
        return 1 if ran_s >= self.steady_s else before + 1

    def pause_s(self, failures: int) -> float:
        """Return the pause before the next start: none after one failure, then `first_s`, doubled after each failure."""
        if failures <= 1:
            return 0.0
        return min(self.longest_s, self.first_s * 2.0 ** min(failures - 2, 60))
