"""Rate limit for log lines about events that may happen with every record."""

from __future__ import annotations


class Seldom:
    """Allows `lines` in `per_s` seconds. Time comes as monotonic seconds."""

    def __init__(self, lines: int, per_s: float) -> None:
        self._lines, self._per_s = lines, per_s
        self._left, self._until = 0, float("-inf")

    def may_speak(self, now: float) -> bool:
        """Return whether a line may be written, and count it."""
        if now >= self._until:
            self._left, self._until = self._lines, now + self._per_s
        self._left -= 1
        return self._left >= 0
