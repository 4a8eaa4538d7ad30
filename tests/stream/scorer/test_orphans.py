"""A partition that nobody owns after a crash in the midst of a rebalance finds an owner again."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from local.broker import Broker, start_broker
from stream.scorer.group.orphans import orphans, rejoins
from tests.chaos.driver import Driver
from tests.stream.conftest import Line

WATCHING = """
import sys, time
from aimaas.settings import read_settings
from stream.scorer.group.orphans import OrphanWatch

settings = read_settings({"AIMAAS_KAFKA_BOOTSTRAP_SERVERS": sys.argv[1]})
watch = OrphanWatch(settings, "group", "member", "topic", partitions=1)
while True:
    watch.must_rejoin(time.monotonic())
    time.sleep(0.05)
"""
OUTAGE_S, AFTER_S = 20.0, 10.0  # longer than any time-out of ours; a client that aborts does so within two seconds


def test_orphans_are_the_partitions_that_no_member_has() -> None:
    assert orphans(4, {"a": [0, 2], "b": [3], "c": []}) == {1}
    assert orphans(2, {"a": [0, 1]}) == frozenset()
    assert orphans(2, {"a": []}) == {0, 1}


def test_the_member_that_has_least_joins_again() -> None:
    assert rejoins({"a": [0, 2], "c": [], "b": []}) == "b"
    assert rejoins({"b": [1], "a": [0]}) == "a"


@pytest.mark.broker
def test_a_scorer_killed_between_the_rounds_of_a_rebalance_leaves_no_partition_unread(
    line: Line, broker: Broker
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


@pytest.mark.long
@pytest.mark.broker
def test_a_coordinator_that_was_away_for_long_does_not_abort_who_asks_for_the_group(tmp_path: Path, jars: Path) -> None:
    away = start_broker(tmp_path / "kafka", jars)
    watching = subprocess.Popen([sys.executable, "-c", WATCHING, away.bootstrap_servers])
    try:
        away.process.kill()
        time.sleep(OUTAGE_S)
        away.process = start_broker(away.folder, away.jars).process
        with pytest.raises(subprocess.TimeoutExpired):
            watching.wait(AFTER_S)
    finally:
        watching.kill()
        watching.wait()
        away.process.kill()
