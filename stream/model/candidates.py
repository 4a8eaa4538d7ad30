"""Announced models that could serve: which one to try next, and which ones not to try again.

Plain state without threads or clocks. A higher sequence is newer; a rollback has one too. A refused announcement is not tried
again until its record changes; one that may get better by itself (an unreachable store, a torn file) is tried again with
growing pauses.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from aimaas.records.events import Announcement

KEPT = 1_000  # announcements remembered, the highest sequences
FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 300.0


@dataclass(frozen=True)
class Pause:
    """When an announcement may be tried again, and how long it waits after that failure."""

    until: float  # monotonic seconds
    seconds: float


@dataclass
class Candidates:
    """The newest announcements of the champion by sequence, with what came of trying them.

    `served_before` are announcements that this machine served before it was started: they serve where the topic has lost its
    records, and hold a replayed older one back.
    """

    served_before: tuple[Announcement, ...] = ()
    refusals: int = 0  # since the start; a repeated attempt does not count again
    _known: dict[int, Announcement] = field(default_factory=dict)
    _refused: dict[Announcement, str] = field(default_factory=dict)
    _paused: dict[Announcement, Pause] = field(default_factory=dict)

    def add(self, announcement: Announcement) -> None:
        """Take an announcement; another record of the same sequence replaces the one before, with what was said of it."""
        before = self._known.get(announcement.sequence)
        if before is not None and before != announcement:
            self._forget(before)
        self._known[announcement.sequence] = announcement
        for oldest in sorted(self._known)[:-KEPT]:
            self._forget(self._known.pop(oldest))

    def to_try(self, served: Announcement | None, now: float) -> list[Announcement]:
        """What could replace the announcement that is `served`, the newest first; what is refused or must wait is left out.

        Without a served one, or with one that is refused meanwhile, every announcement is looked at.
        """
        newer = self._newest_first()
        if served in newer and served not in self._refused:
            newer = newer[: newer.index(served)]
        return [a for a in newer if a not in self._refused and self._is_due(a, now)]

    def _newest_first(self) -> list[Announcement]:
        """By sequence; a model served before goes ahead of a topic that knows neither its sequence nor a later promotion."""
        told = [self._known[s] for s in sorted(self._known, reverse=True)]
        before = sorted((a for a in self.served_before if a not in told), key=lambda a: a.sequence, reverse=True)
        ahead = [a for a in before if not told or (a.sequence > told[0].sequence and a.at >= told[0].at)]
        return [*ahead, *told, *(a for a in before if a not in ahead)]

    def _is_due(self, announcement: Announcement, now: float) -> bool:
        return announcement not in self._paused or now >= self._paused[announcement].until

    def refuse(self, announcement: Announcement, reason: str) -> None:
        """Do not try it again."""
        self._count(announcement)
        self._refused[announcement] = reason

    def refuse_sequence(self, sequence: int, reason: str) -> list[Announcement]:
        """Do not try again what was announced with this sequence; those announcements."""
        found = [a for a in self._newest_first() if a.sequence == sequence]
        for announcement in found:
            self.refuse(announcement, reason)
        return found

    def pause(self, announcement: Announcement, now: float) -> bool:
        """Try it again later, each time after twice the pause; says whether it is the first failure."""
        before = self._paused.get(announcement)
        seconds = min(before.seconds * 2, LONGEST_PAUSE_S) if before else FIRST_PAUSE_S
        self._count(announcement)
        self._paused[announcement] = Pause(now + seconds, seconds)
        return before is None

    def loaded(self, announcement: Announcement) -> None:
        """Forget earlier failures of the model that now serves."""
        self._paused.pop(announcement, None)

    def _count(self, announcement: Announcement) -> None:
        self.refusals += announcement not in self._refused and announcement not in self._paused

    def _forget(self, announcement: Announcement) -> None:
        self._paused.pop(announcement, None)
        self._refused.pop(announcement, None)

    @property
    def remembered(self) -> int:
        """How many announcements and failures are in memory."""
        return max(len(self._known), len(self._refused), len(self._paused))
