"""Pauses between the starts of a part that ends again and again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from local.supervision.backoff import BackOff

POLICY = BackOff(first_s=1, longest_s=60, steady_s=60)


def test_the_first_end_costs_no_pause_and_each_further_one_twice_the_pause_before() -> None:
    assert [POLICY.pause_s(n) for n in range(1, 10)] == [0, 1, 2, 4, 8, 16, 32, 60, 60]


@given(st.integers(0, 10_000), st.floats(0, 1e6))
def test_pauses_never_shrink_while_it_fails_and_never_pass_the_longest(before: int, ran_s: float) -> None:
    failures = POLICY.failures(before, ran_s)

    assert failures == (1 if ran_s >= 60 else before + 1)
    assert 0 <= POLICY.pause_s(failures) <= POLICY.pause_s(failures + 1) <= 60
