"""When a served model gives too few finite answers."""

from __future__ import annotations

import pytest

from stream.model.answers import ALONE, AT_LEAST, WINDOW, AnswerWatch

MANY = [f"d-{i % 5}" for i in range(AT_LEAST)]


def test_a_share_above_the_declared_one_is_complained_of_with_the_figures() -> None:
    watch = AnswerWatch(0.01)

    watch.count(7, 1_000, MANY)

    assert watch.complaint(7) == (
        "20 of its last 1000 answers were NaN or infinite, more than 1.00% (gates.unanswered_share)"
    )
    assert watch.complaint(6) is None


@pytest.mark.parametrize(
    ("answers", "without"),
    [
        (1_000, MANY[1:]),  # too few to say anything
        (AT_LEAST * 100, MANY),  # just the share that is allowed
        (1_000, ["d-1"] * 500),  # one device harms only itself
        (0, []),
    ],
)
def test_what_is_no_reason_to_withdraw_a_model(answers: int, without: list[str]) -> None:
    watch = AnswerWatch(0.01)

    watch.count(7, answers, without)

    assert watch.complaint(7) is None


def test_a_model_that_answers_nothing_is_withdrawn_though_there_is_one_device_only() -> None:
    watch = AnswerWatch(0.01)

    for _ in range(ALONE):
        assert watch.complaint(7) is None
        watch.count(7, 1, ["d-1"])

    assert watch.complaint(7) is not None


def test_only_the_newest_answers_count() -> None:
    watch = AnswerWatch(0.001)
    watch.count(7, 100, MANY[1:])
    for _ in range(WINDOW // 100):
        watch.count(7, 100)

    watch.count(7, 100, MANY[:1])
    assert watch.complaint(7) is None

    watch.count(7, 100, MANY)
    assert watch.complaint(7) is not None


def test_another_model_begins_with_no_answers() -> None:
    watch = AnswerWatch(0.01)
    watch.count(7, 100, MANY[1:])

    watch.count(8, 100, MANY[:1])

    assert (watch.complaint(7), watch.complaint(8)) == (None, None)
