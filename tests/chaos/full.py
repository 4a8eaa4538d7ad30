"""`make chaos`: the long run, with every point at which a scorer can be killed. Its last line but pytest's own is JSON."""

from __future__ import annotations

import json

import pytest

from tests.chaos.conftest import Ground
from tests.chaos.driver import Driver
from tests.chaos.kill_points import POINTS
from tests.chaos.run import Outcome, run

EVENTS, LOAD_S = 100_000, 60

# how often a point is passed before it kills: some commits or records after the start
_ALONE = {
    "restore": 1, "restored": 1, "begun": 4, "prediction": 2_500, "dead letter": 20, "alert": 40, "snapshot": 30,
    "replay offset": 6, "offsets": 5, "commit": 7, "committing": 9, "committed": 3,
}  # fmt: skip
_AT_A_REBALANCE = ("revoke", "given up")


def plan(driver: Driver) -> None:
    """Every point once and as many random moments, three brokers killed, two zombies, two scorers that come and go."""
    points = list(_ALONE.items())
    for point, passing in points[:4]:
        driver.kill_at_random("0")
        driver.kill_at(point, passing)
    driver.join("0")
    driver.kill_broker()
    driver.freeze("offsets", 5, heir="1")
    for point, passing in points[4:8]:
        driver.kill_at_random("0")
        driver.kill_at(point, passing)
    for point in _AT_A_REBALANCE:
        driver.kill_at_rebalance(point)
        driver.join("0")
        driver.kill_at_random("1")
    driver.join("1")
    driver.kill_broker()
    driver.leave("1")
    for point, passing in points[8:]:
        driver.kill_at_random("0")
        driver.kill_at(point, passing)
    driver.join("0")
    driver.kill_broker()
    driver.freeze("commit", 5, heir="0")


def anew(driver: Driver) -> None:
    """What is done while the events topic that was made anew is loaded: the scorer ends by itself, goes on there, and is killed."""
    driver.await_predictions()
    driver.kill_at_random("0")
    driver.kill_at("committing", 9)
    driver.join("0")


@pytest.mark.broker
@pytest.mark.timeout(1_500)
def test_every_event_gets_one_answer_through_all_of_it(ground: Ground) -> None:
    outcome = run(
        ground, plan, rate=1_000, least=EVENTS, most_s=900, say=lambda text: print(text, flush=True), anew=anew
    )
    print(report(outcome))
    kills = outcome.driver.kills
    assert outcome.account.is_square
    assert set(kills) == {*POINTS, "at random"}
    assert kills["at random"] == len(POINTS) + 1
    assert (outcome.driver.broker_kills, outcome.driver.thaws) == (3, 2)
    assert outcome.account.events >= EVENTS
    assert outcome.account.unanswered > 0
    assert outcome.account.alerts > 1_000
    assert outcome.load_s >= LOAD_S
    assert any("was deleted" in line for line in outcome.driver.exits)


def report(outcome: Outcome) -> str:
    """A table of what was done and came of it, and the same as one line of JSON."""
    figures = outcome.figures()
    kills = figures["kills"]
    rows = [f"  {count:3}  {POINTS.get(point, 'any moment')}" for point, count in kills.items()]
    others = [f"  {value:>9}  {name}" for name, value in figures.items() if name != "kills"]
    return "\n".join(["", "scorer killed", *rows, "in all", *others, "", json.dumps(figures)])
