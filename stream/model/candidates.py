"""Announced models that could serve: decides which model to try next, and which models not to try again.

Plain state without threads or clocks. A higher sequence is newer; a rollback has a sequence too. A refused announcement is
not tried again until its record changes. A cause that may disappear (an unreachable store, a torn file) is tried again with
growing pauses.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from aimaas.records.events import Announcement

KEPT = 1_000  # announcements remembered, the highest sequences
FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 300.0


@dataclass(frozen=True)
class Pause:
    """When to try an announcement again, and the length of the pause after that failure."""

    until: float  # monotonic seconds
    seconds: float


@dataclass
class Candidates:
    """The newest announcements of the champion by sequence, with the results of trying them.

    `served_before` are announcements that this machine served before its last start. They serve if the topic has lost its
    records, and they keep an older announcement, sent again, from serving.
    """

    served_before: tuple[Announcement, ...] = ()
    refusals: int = 0  # since the start; a repeated attempt does not count
    _known: dict[int, Announcement] = field(default_factory=dict)
    _refused: dict[Announcement, str] = field(default_factory=dict)
    _paused: dict[Announcement, Pause] = field(default_factory=dict)

    def add(self, announcement: Announcement) -> None:
        """Take an announcement; it replaces an earlier record of the same sequence and its results."""
        before = self._known.get(announcement.sequence)
        if before is not None and before != announcement:
            self._forget(before)
        self._known[announcement.sequence] = announcement
        for oldest in sorted(self._known)[:-KEPT]:
            self._forget(self._known.pop(oldest))

    def to_try(self, served: Announcement | None, now: float) -> list[Announcement]:
        """Return the announcements that could replace `served`, the newest first, without refused and paused ones.

        If none is served, or the served one is refused, all announcements are candidates.
        """
        newer = self._newest_first()
        if served in newer and served not in self._refused:
            newer = newer[: newer.index(served)]
        return [a for a in newer if a not in self._refused and self._is_due(a, now)]

    def _newest_first(self) -> list[Announcement]:
        """Sort by sequence. A model served before goes first if the topic knows neither its sequence nor a later promotion."""
        told = [self._known[s] for s in sorted(self._known, reverse=True)]
        before = sorted((a for a in self.served_before if a not in told), key=lambda a: a.sequence, reverse=True)
        ahead = [a for a in before if not told or (a.sequence > told[0].sequence and a.at >= told[0].at)]
        return [*ahead, *told, *(a for a in before if a not in ahead)]

    def _is_due(self, announcement: Announcement, now: float) -> bool:
        return announcement not in self._paused or now >= self._paused[announcement].until

    def refuse(self, announcement: Announcement, reason: str) -> None:
        """Refuse the announcement, so that it is not tried again."""
        self._count(announcement)
        self._refused[announcement] = reason

    def refuse_sequence(self, sequence: int, reason: str) -> list[Announcement]:
        """Refuse the announcements with this sequence; return them."""
        found = [a for a in self._newest_first() if a.sequence == sequence]
        for announcement in found:
            self.refuse(announcement, reason)
        return found

    def pause(self, announcement: Announcement, now: float) -> bool:
        """Pause the announcement, each time for twice as long; return whether this is its first failure."""
        before = self._paused.get(announcement)
        seconds = min(before.seconds * 2, LONGEST_PAUSE_S) if before else FIRST_PAUSE_S
        self._count(announcement)
        self._paused[announcement] = Pause(now + seconds, seconds)
        return before is None

    def loaded(self, announcement: Announcement) -> None:
        """Forget earlier failures of the model that serves now."""
        self._paused.pop(announcement, None)

    def _count(self, announcement: Announcement) -> None:
        self.refusals += announcement not in self._refused and announcement not in self._paused

    def _forget(self, announcement: Announcement) -> None:
        self._paused.pop(announcement, None)
        self._refused.pop(announcement, None)

    @property
    def remembered(self) -> int:
        """Return the number of announcements and failures in memory."""
        return max(len(self._known), len(self._refused), len(self._paused))
