"""Which announced model to try next is a plain decision over what was announced and what came of it."""

from __future__ import annotations

from datetime import UTC, datetime

from aimaas.events import Announcement
from stream.model.candidates import FIRST_PAUSE_S, KEPT, LONGEST_PAUSE_S, Candidates


def announced(sequence: int, version: str = "1") -> Announcement:
    return Announcement("champion", version, sequence, "/m", "0" * 64, "p", "f", datetime(2026, 11, 23, tzinfo=UTC))


def candidates(*sequences: int) -> Candidates:
    made = Candidates()
    for sequence in sequences:
        made.add(announced(sequence))
    return made


def tried(of: Candidates, served: int | None = None, now: float = 0.0) -> list[int]:
    return [a.sequence for a in of.to_try(served, now)]


def test_only_higher_sequences_are_tried_the_highest_first() -> None:
    assert tried(candidates(4, 6, 9, 6), served=5) == [9, 6]


def test_a_refused_sequence_is_not_tried_again_until_its_record_changes() -> None:
    some = candidates(1, 2)
    some.refuse(2, "torn")
    some.add(announced(2))
    assert tried(some) == [1]
    some.add(announced(2, version="7"))
    assert tried(some) == [2, 1]


def test_after_the_served_model_was_withdrawn_lower_sequences_are_tried() -> None:
    some = candidates(1, 2, 3)
    some.refuse(3, "answers NaN")
    assert tried(some, served=3) == [2, 1]


def test_pauses_double_up_to_a_bound_and_end_when_the_model_serves() -> None:
    some, now, pauses = candidates(1), 0.0, []
    for _ in range(9):
        first = some.pause(1, now)
        assert first == (not pauses)
        wait = next(s for s in range(1, 1_000) if tried(some, now=now + s))
        pauses.append(wait)
        now += wait
    assert pauses[:3] == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S]
    assert pauses[-1] == LONGEST_PAUSE_S
    some.loaded(1)
    assert some.pause(1, now), "a failure after that is a first one"


def test_what_is_remembered_is_bounded() -> None:
    some = Candidates()
    for sequence in range(3 * KEPT):
        some.add(announced(sequence))
        some.refuse(sequence, "torn")
        some.pause(sequence, 0.0)
    assert len(some.refused) == KEPT
    assert some.refusals == 3 * KEPT
    assert min(some.refused) == 2 * KEPT
