"""When a scorer is stalled, when it is ready, and what it says then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.monitoring.health import Fetching, Health, Limits, Liveness, Vitals, examine
from stream.monitoring.lag import Place

LIMITS = Limits(stall_s=30, transaction_s=20)
WELL = Vitals(turned_at=100, answered_at=100, model_version="7", partitions=(0, 1))
BEHIND = Place(5, 9)


def test_a_scorer_that_turns_and_serves_its_partitions_is_live_and_ready() -> None:
    health = examine(WELL, LIMITS, 101)

    assert health == Health()
    assert (health.is_live, health.is_ready) == (True, True)


STALLED = {
    "the loop has not run for 31 s": replace(WELL, turned_at=70),
    "a transaction has been open for 21 s": replace(WELL, transaction_opened_at=80),
    "partition 1 stands at 5 of 9 and was not fetched for 31 s": replace(
        WELL, fetching={0: Fetching(BEHIND, 100), 1: Fetching(BEHIND, 70)}
    ),
    "restoring state exceeds its time limit by 1 s": replace(WELL, doing="restoring state", until=100),
}


@pytest.mark.parametrize(("sentence", "vitals"), STALLED.items())
def test_a_scorer_that_stands_still_is_red_in_both_and_says_why(sentence: str, vitals: Vitals) -> None:
    health = examine(vitals, LIMITS, 101)

    assert health.stalled == (sentence,)
    assert (health.is_live, health.is_ready) == (False, False)


WAITING = {
    "no model serves yet": replace(WELL, model_version=None),
    "the group has not assigned partitions yet": replace(WELL, partitions=None),
    "restoring state": replace(WELL, doing="restoring state", until=200, turned_at=0),
    "no broker has reported the ends of the partitions for 31 s": replace(WELL, answered_at=70),
}


@pytest.mark.parametrize(("sentence", "vitals"), WAITING.items())
def test_a_scorer_that_waits_for_others_is_live_but_not_ready_and_says_why(sentence: str, vitals: Vitals) -> None:
    health = examine(vitals, LIMITS, 101)

    assert health.waiting == (sentence,)
    assert (health.is_live, health.is_ready) == (True, False)


FINE = {
    "a partition idle at its end for hours": replace(WELL, fetching={0: Fetching(Place(9, 9), None)}),
    "a partition just as long behind as is allowed": replace(WELL, fetching={0: Fetching(BEHIND, 71)}),
    "a loop just as long without a turn as is allowed": replace(WELL, turned_at=71),
    "a transaction just as long open as is allowed": replace(WELL, transaction_opened_at=81),
    "a member for whom there is no partition": replace(WELL, partitions=(), answered_at=0),
}


@pytest.mark.parametrize("vitals", FINE.values(), ids=FINE.keys())
def test_what_is_within_the_limits_is_well(vitals: Vitals) -> None:
    assert examine(vitals, LIMITS, 101).is_ready


def ready() -> Liveness:
    liveness = Liveness(LIMITS, 0)
    liveness.serves("7")
    liveness.owns([0, 1], 0)
    return liveness


def test_a_partition_that_is_not_fetched_is_red_although_the_loop_turns_and_the_other_moves() -> None:
    liveness = ready()
    for now in range(40):
        liveness.turned(now)
        liveness.seen({0: Place(now, now + 1), 1: Place(5, 9 + now)}, now)

    assert liveness.look(39).stalled == ("partition 1 stands at 5 of 48 and was not fetched for 39 s",)


def test_an_event_after_a_long_silence_is_no_stall() -> None:
    liveness = ready()
    liveness.seen({0: Place(5, 5)}, 0)
    liveness.turned(10_000)
    liveness.seen({0: Place(5, 6)}, 10_000)

    assert liveness.look(10_001).is_ready


def test_a_partition_that_moves_again_is_well_again() -> None:
    liveness = ready()
    for now, position in ((0, 5), (40, 5), (41, 6)):
        liveness.turned(now)
        liveness.seen({0: Place(position, 9)}, now)
        assert liveness.look(now).is_live == (now != 40)


def test_a_partition_that_was_given_up_is_no_concern() -> None:
    liveness = ready()
    liveness.seen({0: Place(5, 9), 1: Place(9, 9)}, 0)
    liveness.owns([1], 1)
    liveness.seen({0: Place(5, 9), 1: Place(9, 9)}, 40)  # an answer that was asked for before
    liveness.turned(40)

    assert liveness.look(40).is_ready


def test_a_long_restore_is_live_and_its_time_is_not_held_against_the_partitions_that_stayed() -> None:
    liveness = ready()
    liveness.seen({0: Place(5, 9)}, 0)
    liveness.busy("restoring state", 600, 1)
    assert (liveness.look(500).is_live, liveness.look(500).is_ready) == (True, False)

    liveness.turned(501)
    liveness.seen({0: Place(5, 9)}, 501)

    assert liveness.look(502).is_ready


def test_a_transaction_counts_until_it_ends() -> None:
    liveness = ready()
    liveness.transaction_opened(0)
    liveness.turned(25)
    assert liveness.look(25).stalled == ("a transaction has been open for 25 s",)

    liveness.transaction_ended()

    assert liveness.look(25).is_ready


def test_a_scorer_is_not_ready_before_it_has_a_model_and_the_groups_word() -> None:
    liveness = Liveness(LIMITS, 0)
    assert len(liveness.look(1).waiting) == 2
    liveness.serves("1")
    assert len(liveness.look(1).waiting) == 1
    liveness.owns([], 1)
    assert liveness.look(1).is_ready


Steps = st.lists(st.tuples(st.floats(0, 20), st.integers(0, 3), st.integers(0, 3)), max_size=30)


@given(Steps)
def test_a_partition_that_moves_or_is_at_its_end_within_the_limit_is_never_stalled(
    steps: list[tuple[float, int, int]],
) -> None:
    liveness, now, position = ready(), 0.0, 0
    for wait_s, read, unread in steps:
        now += wait_s
        position += read or 1
        liveness.turned(now)
        liveness.seen({0: Place(position, position + unread)}, now)
        assert liveness.look(now).is_live


@given(st.floats(0, 1e6), st.floats(0, 1e3), st.integers(0, 5), st.integers(0, 5))
def test_what_is_stalled_stays_so_for_as_long_as_nothing_happens(
    turned_at: float, wait_s: float, position: int, end: int
) -> None:
    liveness = Liveness(LIMITS, turned_at)
    liveness.owns([0], turned_at)
    liveness.seen({0: Place(position, end)}, turned_at)
    look: Callable[[float], bool] = lambda after: liveness.look(turned_at + after).is_live  # noqa: E731 - read in one line

    assert look(wait_s) or not look(wait_s + 1)
    assert not look(LIMITS.stall_s + 1)
