"""Which announced model to try next is a plain decision over what was announced and what came of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from aimaas.records.events import Announcement
from stream.model.candidates import FIRST_PAUSE_S, KEPT, LONGEST_PAUSE_S, Candidates


def announced(sequence: int, version: str = "1", day: int = 0) -> Announcement:
    at = datetime(2026, 11, 1, tzinfo=UTC) + timedelta(days=day)
    return Announcement("champion", version, sequence, "/m", "0" * 64, "p", "f", at)


def candidates(*sequences: int, before: tuple[Announcement, ...] = ()) -> Candidates:
    made = Candidates(served_before=before)
    for sequence in sequences:
        made.add(announced(sequence, day=sequence))
    return made


def tried(of: Candidates, served: Announcement | None = None, now: float = 0.0) -> list[int]:
    return [a.sequence for a in of.to_try(served, now)]


def test_only_higher_sequences_are_tried_the_highest_first() -> None:
    assert tried(candidates(4, 6, 9, 5, 6), served=announced(5, day=5)) == [9, 6]


def test_a_refused_announcement_is_not_tried_again_until_its_record_changes() -> None:
    some = candidates(1)
    some.add(announced(2))
    some.refuse(announced(2), "torn")
    some.add(announced(2))
    assert tried(some) == [1]
    some.add(announced(2, version="7"))
    assert tried(some) == [2, 1]


def test_after_the_served_model_was_withdrawn_lower_sequences_are_tried() -> None:
    some = candidates(1, 2, 3)
    assert some.refuse_sequence(3, "answers NaN") == [announced(3, day=3)]
    assert tried(some, served=announced(3, day=3)) == [2, 1]


def test_pauses_double_up_to_a_bound_and_end_when_the_model_serves() -> None:
    some, one, now = candidates(1), announced(1, day=1), 0.0
    pauses: list[float] = []
    for _ in range(9):
        first = some.pause(one, now)
        assert first == (not pauses)
        wait = next(s for s in range(1, 1_000) if tried(some, now=now + s))
        pauses.append(wait)
        now += wait
    assert pauses[:3] == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S]
    assert pauses[-1] == LONGEST_PAUSE_S
    assert some.refusals == 1
    some.loaded(one)
    assert some.pause(one, now), "a failure after that is a first one"


def test_what_is_remembered_is_bounded() -> None:
    some = Candidates()
    for sequence in range(3 * KEPT):
        some.add(announced(sequence))
        some.refuse(announced(sequence), "torn")
        some.pause(announced(sequence), 0.0)
    assert some.remembered == KEPT
    assert some.refusals == 3 * KEPT


def test_a_model_served_before_serves_where_the_topic_has_lost_its_records() -> None:
    assert tried(candidates(before=(announced(4), announced(5)))) == [5, 4]


def test_a_replayed_older_announcement_does_not_roll_a_restarted_scorer_back() -> None:
    assert tried(candidates(3, before=(announced(5, day=5),))) == [5, 3]


def test_another_registrys_first_promotion_comes_before_what_was_served_by_the_former_one() -> None:
    some = candidates(before=(announced(5, day=5),))
    some.add(announced(1, version="2", day=9))
    assert tried(some) == [1, 5]


def test_a_model_served_before_is_behind_a_higher_sequence_and_tried_once() -> None:
    some = candidates(5, 6, before=(announced(5, day=5), announced(4, day=4)))
    assert tried(some) == [6, 5, 4]
    assert tried(some, served=announced(6, day=6)) == []
