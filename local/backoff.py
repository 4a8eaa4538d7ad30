"""When a part that died is started again: at once if it ran well, else after pauses that grow."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BackOff:
    """Pauses between starts of a part that ends again and again. All in seconds."""

    first_s: float = 1.0
    longest_s: float = 60.0
    steady_s: float = 60.0  # who ran so long has not failed before

    def failures(self, before: int, ran_s: float) -> int:
        """How often in a row a part has failed, now that it ended after `ran_s`; `before` without this time."""
        return 1 if ran_s >= self.steady_s else before + 1

    def pause_s(self, failures: int) -> float:
        """Pause before the next start: none after one failure, then `first_s`, twice that, and so on."""
        if failures <= 1:
            return 0.0
        return min(self.longest_s, self.first_s * 2.0 ** min(failures - 2, 60))
