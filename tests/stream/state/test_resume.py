"""Where reading goes on: every way in which the state topic, the group and the log can disagree."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimaas.errors import StateError
from stream.state.log_reader import Span
from stream.state.records import device_record
from stream.state.resume import (
    BEFORE_START,
    NOTHING,
    OVERTAKEN,
    SKIPPED,
    Resumption,
    resume,
)
from stream.state.saved import Saved

OLD, NOW = "old", "now"


def saved_as(
    position: int | None = None, replay_from: int | None = None, newest: int = 0, topic_id: str | None = NOW
) -> Saved:
    """What the state topic says."""
    saved = Saved()
    saved.position, saved.replay_from = position, replay_from
    saved.topic_id = None if position is None else topic_id
    saved.devices = {b"d": device_record("d", newest).value or b""} if newest else {}
    return saved


def resumed(saved: Saved, committed: int | None, log: Span, first_id: str = NOW) -> Resumption:
    return resume("events, partition 0", saved, committed, log, NOW, first_id)


@pytest.mark.parametrize(
    ("saved", "committed", "log", "expected"),
    [
        (saved_as(), None, Span(0, 9), Resumption(0, Span(0, 0), is_first=True)),
        (saved_as(), None, Span(4, 9), Resumption(4, Span(4, 4), Span(0, 4), BEFORE_START, is_first=True)),
        (saved_as(10, 4, 9), 10, Span(0, 12), Resumption(10, Span(4, 10))),
        (saved_as(10, 10, 10), 10, Span(10, 12), Resumption(10, Span(10, 10))),
        (saved_as(10, 6, 9), 10, Span(6, 12), Resumption(10, Span(6, 10))),
        (saved_as(10, 6, 9), None, Span(6, 12), Resumption(10, Span(6, 10))),
        (saved_as(10, 4, 9), 14, Span(0, 20), Resumption(14, Span(4, 14), Span(10, 14), SKIPPED)),
        (saved_as(10, 10, 9), 10, Span(15, 20), Resumption(15, Span(15, 15), Span(10, 15), OVERTAKEN)),
        (saved_as(10, 4, 9), 10, Span(15, 20), Resumption(15, Span(15, 15), Span(10, 15), OVERTAKEN, Span(4, 10))),
        (saved_as(10, 4, 9), 10, Span(7, 12), Resumption(10, Span(7, 10), NOTHING, "", Span(4, 7))),
        (saved_as(10, 4, 9), 10, Span(10, 10), Resumption(10, Span(10, 10), NOTHING, "", Span(4, 10))),
    ],
    ids=[
        "first start",
        "first start after retention",
        "snapshots, then the input since",
        "all is in snapshots, the log may be gone",
        "the log has just what is needed",
        "the group expired",
        "the group was set forward",
        "retention overtook a scorer that stood still",
        "and state is missing too",
        "retention overtook the snapshots",
        "a quiet topic lost all",
    ],
)
def test_reading_goes_on_where_the_state_topic_says_and_what_is_gone_is_named(
    saved: Saved, committed: int | None, log: Span, expected: Resumption
) -> None:
    assert resumed(saved, committed, log) == expected


@pytest.mark.parametrize(
    ("saved", "committed", "log", "expected"),
    [
        (saved_as(None, 4, 9), 10, Span(0, 12), Resumption(10, Span(4, 10))),
        (
            saved_as(),
            10,
            Span(3, 12),
            Resumption(10, Span(3, 10)),
        ),  # emptied by a person: what the log has is what can be known
        (saved_as(), 5, Span(8, 12), Resumption(8, Span(8, 8), Span(5, 8), OVERTAKEN)),
    ],
)
def test_without_a_position_in_the_state_topic_the_group_says_it(
    saved: Saved, committed: int, log: Span, expected: Resumption
) -> None:
    assert resumed(saved, committed, log) == expected


@pytest.mark.parametrize("committed", [None, 10, 3])
def test_what_is_of_a_topic_that_was_deleted_counts_for_nothing_in_the_new_one(committed: int | None) -> None:
    old = saved_as(10, 4, 9, topic_id=OLD)
    assert resumed(old, committed, Span(0, 30)) == Resumption(0, Span(0, 0), left=(OLD, 10))
    assert resumed(old, committed, Span(2, 30)).lost == Span(0, 2)


def test_state_from_before_positions_were_written_is_of_the_first_topic_of_the_name() -> None:
    assert resumed(saved_as(None, 4, 9), 10, Span(0, 12), first_id=OLD).left == (OLD, 9)


@pytest.mark.parametrize(
    ("saved", "committed", "log", "says"),
    [
        (saved_as(10, 4, 9), 8, Span(0, 20), "the state is of offset 10, the group's offset is 8"),
        (saved_as(None, 4, 15), 10, Span(0, 20), "the state is of offset 15, the group's offset is 10"),
        (saved_as(10, 4, 9), 10, Span(0, 3), "before offset 10 are answered, but the log ends at 3"),
        (saved_as(10, 4, 9), None, Span(0, 3), "before offset 10 are answered, but the log ends at 3"),
        (saved_as(None, 4, 9), None, Span(0, 20), "the group has no offset any more"),
    ],
    ids=[
        "group set back",
        "group set back, older release",
        "log cut off",
        "log cut off, group gone",
        "group gone, older release",
    ],
)
def test_what_a_person_must_decide_is_an_error_that_says_what_to_do(
    saved: Saved, committed: int | None, log: Span, says: str
) -> None:
    with pytest.raises(StateError, match=says) as caught:
        resumed(saved, committed, log)
    assert "events, partition 0" in str(caught.value)


@given(
    position=st.none() | st.integers(0, 30),
    replay_from=st.none() | st.integers(0, 30),
    committed=st.none() | st.integers(0, 30),
    begin=st.integers(0, 30),
    length=st.integers(0, 30),
)
def test_no_offset_is_passed_over_in_silence_and_none_is_answered_twice(
    position: int | None, replay_from: int | None, committed: int | None, begin: int, length: int
) -> None:
    saved = saved_as(position, None if position is None or replay_from is None else min(replay_from, position))
    try:
        found = resumed(saved, committed, Span(begin, begin + length))
    except StateError:
        return
    answered = max((p for p in (position, committed if position is None else None) if p is not None), default=0)
    assert found.position >= answered
    assert found.lost.end - found.lost.begin == found.position - answered
    assert begin <= found.position <= begin + length
    assert found.replay.end in (found.position, found.replay.begin)
    assert found.replay.begin >= min(begin, found.position)
