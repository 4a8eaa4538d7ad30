"""Exactly one answer per record whatever happens: the short run. `make chaos` is the long one (`full.py`)."""

from __future__ import annotations

import pytest

from tests.chaos.conftest import Ground
from tests.chaos.driver import Driver
from tests.chaos.run import run

pytestmark = [pytest.mark.broker, pytest.mark.long, pytest.mark.timeout(600)]


def plan(driver: Driver) -> None:
    """Five kills between the steps of a commit, one of the broker, and a zombie."""
    driver.kill_at("prediction", 1_000)
    driver.kill_at("alert", 10)
    driver.kill_at("replay offset", 5)
    driver.kill_at("committing", 5)
    driver.kill_at("committed", 5)
    driver.join("0")
    driver.kill_broker()
    driver.freeze("offsets", 5, heir="1")


def test_kills_between_the_steps_of_a_commit_a_broker_killed_and_a_zombie_leave_one_answer_per_record(
    ground: Ground,
) -> None:
    outcome = run(ground, plan, rate=400, least=8_000, most_s=400, say=print)

    assert outcome.account.is_square, outcome.figures()
    assert outcome.account.unanswered > 0
    assert outcome.account.alerts > 0
    assert (outcome.driver.kills.total(), outcome.driver.broker_kills, outcome.driver.thaws) == (5, 1, 1)
    print(outcome.figures())
