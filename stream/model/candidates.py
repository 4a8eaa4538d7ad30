"""Announced models that could serve: which of them to try next, and which not to try again.

Plain state without threads or clocks. A higher sequence is newer; a rollback has one too. A refused announcement is not tried
again until its record changes; one that may get better by itself (an unreachable store, a torn file) is tried again with growing
pauses.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from aimaas.events import Announcement

KEPT = 1_000  # announcements remembered, the highest sequences
FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 300.0


@dataclass
class Pause:
    """When an announcement may be tried again, and how long it waits after that failure."""

    until: float  # monotonic seconds
    seconds: float


@dataclass
class Candidates:
    """The newest announcements of the champion by sequence, with what came of trying them."""

    refused: dict[int, str] = field(default_factory=dict)  # sequence -> why
    refusals: int = 0  # since the start; a repeated attempt does not count again
    _known: dict[int, Announcement] = field(default_factory=dict)
    _paused: dict[int, Pause] = field(default_factory=dict)

    def add(self, announcement: Announcement) -> None:
        """Take an announcement; another record of the same sequence replaces the one before, with what was said of it."""
        sequence = announcement.sequence
        if self._known.get(sequence) != announcement:
            self._forget(sequence)
        self._known[sequence] = announcement
        for oldest in sorted(self._known)[:-KEPT]:
            self._forget(oldest)

    def to_try(self, served: int | None, now: float) -> list[Announcement]:
        """What could replace the model of sequence `served`, the newest first; what is refused or must wait is left out.

        Without a served model, or with one that is refused meanwhile, every sequence is looked at.
        """
        above = -1 if served is None or served in self.refused else served
        due = [s for s in self._known if s > above and s not in self.refused and self._is_due(s, now)]
        return [self._known[s] for s in sorted(due, reverse=True)]

    def _is_due(self, sequence: int, now: float) -> bool:
        return sequence not in self._paused or now >= self._paused[sequence].until

    def refuse(self, sequence: int, reason: str) -> None:
        """Do not try this sequence again."""
        self.refusals += sequence not in self.refused
        self.refused[sequence] = reason

    def pause(self, sequence: int, now: float) -> bool:
        """Try this sequence again later, each time after twice the pause; says whether it is the first failure."""
        before = self._paused.get(sequence)
        seconds = min(before.seconds * 2, LONGEST_PAUSE_S) if before else FIRST_PAUSE_S
        self._paused[sequence] = Pause(now + seconds, seconds)
        return before is None

    def loaded(self, sequence: int) -> None:
        """Forget former failures of a sequence that now serves."""
        self._paused.pop(sequence, None)

    def _forget(self, sequence: int) -> None:
        self._known.pop(sequence, None)
        self._paused.pop(sequence, None)
        self.refused.pop(sequence, None)
