"""Where reading continues in a partition of the events topic, and which records are lost: one decision, without any engine.

What is known: the position that the state topic holds with the id of the topic it counts in, the group's offset, and what the log
holds now. They may disagree: a group expires, a person resets it, retention overtakes a scorer that stands still, a topic is
deleted and made anew, a cluster loses the end of a log.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from aimaas.errors import StateError
from stream.state.log_reader import Span

NOTHING = Span(0, 0)

OVERTAKEN = "retention deleted them before they were scored"
BEFORE_START = "retention had deleted them before the scorer first started"
SKIPPED = "the group's offset was set forward"
UNRESTORED = "they were answered, but retention deleted them before the state of their devices was saved"


class SavedPlaces(Protocol):
    """What the state topic says of a partition's offsets; see `stream.state.topic.Saved`."""

    topic_id: str | None  # of the topic that `position` counts in
    position: int | None  # of the next event to read
    replay_from: int | None

    @property
    def newest(self) -> int:
        """The offset that the newest snapshot speaks for."""
        ...

    @property
    def is_empty(self) -> bool:
        """Whether the state topic holds nothing of the partition."""
        ...


@dataclass(frozen=True)
class Resumption:
    """How a partition goes on.

    `position` is the offset of the next event to read, `replay` the input to put into the snapshots again. `lost` are offsets that
    no scorer has read, nor will, and `why` says why. `unrestored` are answered ones that the state lacks. `left` is there where all
    that the state topic holds is of a topic that was deleted: its id, and the position in it. `is_first`: nobody read before.
    """

    position: int
    replay: Span
    lost: Span = NOTHING
    why: str = ""
    unrestored: Span = NOTHING
    left: tuple[str, int] | None = None
    is_first: bool = False

    @property
    def is_news(self) -> bool:
        """Whether the topics must hear of the position before there is work: else the next start finds the same, or worse."""
        return self.is_first or self.is_gap

    @property
    def is_gap(self) -> bool:
        """Whether something cannot be had any more."""
        return self.left is not None or self.lost != NOTHING or self.unrestored != NOTHING


def resume(
    where: str, saved: SavedPlaces, committed: int | None, log: Span, topic_id: str, first_id: str, ahead: bool
) -> Resumption:
    """Decide; `where` names topic and partition for errors. Raises StateError where a person must decide.

    `committed` is the group's offset, None without one. `first_id` is the id of the topic that state without a position is of: it
    was written before positions were. With `ahead` (at least once) the state topic may be further than the group.
    """
    start = Resumption(log.begin, Span(log.begin, log.begin), _span(0, log.begin), BEFORE_START if log.begin else "")
    of_id = saved.topic_id or first_id
    if not saved.is_empty and of_id != topic_id:
        left = of_id, saved.newest if saved.position is None else saved.position
        return replace(start, left=left)
    position = _position(where, saved, committed, ahead)
    if position is None:
        return replace(start, is_first=True)
    if position > log.end:
        raise StateError(
            f"{where}: events before offset {position} are answered, but the log ends at {log.end}: the cluster lost records. "
            "Bring back the broker that has them, or delete the topic and run `aimaas topics create`: offsets that "
            "were assigned twice cannot be distinguished (docs/reference/offsets.md)"
        )
    return _going_on(saved, position, log)


def _position(where: str, saved: SavedPlaces, committed: int | None, ahead: bool) -> int | None:
    """The offset of the next event to answer; None where nobody ever answered one."""
    known = saved.position if saved.position is not None else saved.newest or None
    if ahead or committed is None:
        if committed is None and saved.position is None and known is not None and not ahead:
            raise StateError(
                f"{where}: the group has no offset any more; the state shows that events before offset {known} are answered, "
                f"but not how many after it: set the group's offset to {known} or behind the last predicted event"
            )
        places = [place for place in (committed, known) if place is not None]
        return max(places, default=None)
    if known is not None and known > committed:
        raise StateError(
            f"{where}: the state is of offset {known}, the group's offset is {committed}: set the group's offset to {known}, "
            "or empty the state topic to score these events again"
        )
    return committed


def _going_on(saved: SavedPlaces, position: int, log: Span) -> Resumption:
    """Go on at `position`, or behind what is lost; state comes from the log as far back as it reaches."""
    goes_on = max(position, log.begin)
    lost = _span(position if saved.position is None else saved.position, goes_on)
    why = OVERTAKEN if position < log.begin else SKIPPED if lost != NOTHING else ""
    if saved.replay_from is None:  # never written, or emptied by a person: what the log still has is what can be known
        return Resumption(goes_on, Span(min(log.begin, goes_on), goes_on), lost, why)
    unrestored = _span(saved.replay_from, min(position, log.begin))
    begin = min(max(saved.replay_from, log.begin), goes_on)
    return Resumption(goes_on, Span(begin, goes_on), lost, why, unrestored)


def _span(begin: int, end: int) -> Span:
    return Span(begin, end) if begin < end else NOTHING
