"""Decides where reading continues in a partition of the events topic, and which records are lost. Needs no engine.

It decides by the position in the state topic with the id of its events topic, by the group's offset, and by the present
log. These may disagree: a group expires, a person resets it, retention overtakes a scorer that stands still, a topic is
deleted and created again, a cluster loses the end of a log.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from aimaas.errors import StateError
from stream.state.log_reader import Span
from stream.state.saved import Saved

NOTHING = Span(0, 0)

OVERTAKEN = "retention deleted them before they were scored"
BEFORE_START = "retention had deleted them before the scorer first started"
SKIPPED = "the group's offset was set forward"
UNRESTORED = "they were answered, but retention deleted them before the state of their devices was saved"


@dataclass(frozen=True)
class Resumption:
    """How a partition continues.

    `position` is the offset of the next event to read. `replay` is the input to put into the snapshots again. `lost` are
    offsets that no scorer has read or will read, and `why` is the reason. `unrestored` are answered offsets that the state
    lacks. `left` is set if all records of the state topic are about a deleted topic: its id, and the position in it.
    `is_first`: no scorer read before.
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
        """Return whether the topics must get the position before any work: otherwise the next start finds the same, or worse."""
        return self.is_first or self.is_gap

    @property
    def is_gap(self) -> bool:
        """Return whether something is lost for good."""
        return self.left is not None or self.lost != NOTHING or self.unrestored != NOTHING


def resume(where: str, saved: Saved, committed: int | None, log: Span, topic_id: str, first_id: str) -> Resumption:
    """Decide how the partition continues; `where` names topic and partition for errors.

    Raises StateError if a person must decide. `committed` is the group's offset, None without one. `first_id` is the id of
    the topic that state without a position is about: such state is older than positions.
    """
    start = Resumption(log.begin, Span(log.begin, log.begin), _span(0, log.begin), BEFORE_START if log.begin else "")
    of_id = saved.topic_id or first_id
    if not saved.is_empty and of_id != topic_id:
        left = of_id, saved.newest if saved.position is None else saved.position
        return replace(start, left=left)
    position = _position(where, saved, committed)
    if position is None:
        return replace(start, is_first=True)
    if position > log.end:
        raise StateError(
            f"{where}: events before offset {position} are answered, but the log ends at {log.end}: the cluster lost records. "
            "Bring back the broker that has them, or delete the topic and run `aimaas topics create`: offsets that "
            "were assigned twice cannot be distinguished (docs/reference/offsets.md)"
        )
    return _going_on(saved, position, log)


def _position(where: str, saved: Saved, committed: int | None) -> int | None:
    """Return the offset of the next event to answer; None if no event was ever answered."""
    known = saved.position if saved.position is not None else saved.newest or None
    if committed is None:
        if saved.position is None and known is not None:
            raise StateError(
                f"{where}: the group has no offset any more; the state shows that events before offset {known} are answered, "
                f"but not how many after it: set the group's offset to {known} or behind the last predicted event"
            )
        return known
    if known is not None and known > committed:
        raise StateError(
            f"{where}: the state is of offset {known}, the group's offset is {committed}: set the group's offset to {known}; "
            "`aimaas rescore` computes predictions for past events"
        )
    return committed


def _going_on(saved: Saved, position: int, log: Span) -> Resumption:
    """Continue at `position`, or behind lost records; state comes from the log as far back as it reaches."""
    goes_on = max(position, log.begin)
    lost = _span(position if saved.position is None else saved.position, goes_on)
    why = OVERTAKEN if position < log.begin else SKIPPED if lost != NOTHING else ""
    if saved.replay_from is None:  # never written, or deleted by a person: the rest of the log is the only source
        return Resumption(goes_on, Span(min(log.begin, goes_on), goes_on), lost, why)
    unrestored = _span(saved.replay_from, min(position, log.begin))
    begin = min(max(saved.replay_from, log.begin), goes_on)
    return Resumption(goes_on, Span(begin, goes_on), lost, why, unrestored)


def _span(begin: int, end: int) -> Span:
    return Span(begin, end) if begin < end else NOTHING
