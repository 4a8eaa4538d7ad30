"""A partition that nobody owns after a crash in the midst of a rebalance finds an owner again."""

from __future__ import annotations

from typing import Any

import pytest

from local.broker import Broker
from stream.scorer.orphans import orphans, rejoins
from tests.chaos.driver import Driver


def test_orphans_are_the_partitions_that_no_member_has() -> None:
    assert orphans(4, {"a": [0, 2], "b": [3], "c": []}) == {1}
    assert orphans(2, {"a": [0, 1]}) == frozenset()
    assert orphans(2, {"a": []}) == {0, 1}


def test_the_member_that_has_least_joins_again() -> None:
    assert rejoins({"a": [0, 2], "c": [], "b": []}) == "b"
    assert rejoins({"b": [1], "a": [0]}) == "a"


@pytest.mark.broker
def test_a_scorer_killed_between_the_rounds_of_a_rebalance_leaves_no_partition_unread(
    line: Any, broker: Broker
) -> None:
    champion = line.champion()
    driver = Driver(line, broker, print)
    driver.kill_at_rebalance("revoke", instance="0", joining="1")
    driver.join("0")

    driver.join("1")

    line.send(line.events(devices=4))
    scored, _ = line.undisturbed(champion)
    line.wait_for(len(scored))
    driver.finish()
    driver.leave("0")
    assert line.scored() == scored
