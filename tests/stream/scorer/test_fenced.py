"""Who put a scorer out is told as the group says it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from aimaas.errors import AimaasError, KafkaError
from aimaas.kafka import delete_topics, read_all
from aimaas.topics import scorer_group
from stream.records.exclusive_writer import ExclusiveWriter, Write
from stream.scorer.group.assignment import group_consumer
from stream.scorer.group.rule_claims import Rules
from stream.scorer.run import score
from stream.state.events_topic import find_events_topic
from tests.stream.conftest import Line

pytestmark = pytest.mark.broker


def test_a_second_scorer_of_the_same_instance_puts_the_first_out_which_says_that(line: Line) -> None:
    line.champion()
    stop = threading.Event()
    ended: list[Exception | None] = []
    threads = [threading.Thread(target=run, args=(line, stop, ended)) for _ in range(2)]

    for thread in threads:
        thread.start()
    wait_until(lambda: ended)
    stop.set()
    for thread in threads:
        thread.join(60)

    said = [str(e) for e in ended if e is not None]
    assert said
    assert all("--instance" in line and "\n" not in line for line in said), said


def test_of_two_that_do_the_same_work_the_first_is_told_of_the_second(line: Line) -> None:
    write = [Write(line.names.journal, b"k", b"{}", (), 0)]
    with (
        pytest.raises(
            KafkaError,
            match=r"^move the devices of fleet \S+: another process does the same work .*; nothing is lost$",
        ),
        ExclusiveWriter(line.settings, line.fleet, "grow", "move the devices") as first,
        ExclusiveWriter(line.settings, line.fleet, "grow", "move the devices"),
    ):
        first.write(write)

    assert not read_all(line.settings, line.names.journal)


def test_a_scorer_that_says_its_rules_when_another_takes_its_name_over_is_told_of_the_instance(line: Line) -> None:
    member, _ = group_consumer(line.settings, scorer_group(line.fleet), "0", 10_000)
    rules = Rules(
        line.settings, line.fleet, member, "0", find_events_topic(line.settings, line.fleet, datetime.now(UTC)).label
    )
    member.subscribe([line.names.events])
    while not member.assignment():
        member.consume(1, 0.1)
    take_over = ExclusiveWriter.write_as_member

    def late(writer: ExclusiveWriter, *args: Any) -> bool:
        with ExclusiveWriter(line.settings, line.fleet, "0-rules", "say the rules"):
            return take_over(writer, *args)

    with (
        pytest.MonkeyPatch.context() as patch,
        pytest.raises(KafkaError, match=r"same --instance took over: give every scorer its own --instance"),
    ):
        patch.setattr(ExclusiveWriter, "write_as_member", late)
        rules.take_up({0: 0, 1: 0}, {0: 0, 1: 0})
    member.close()


def run(line: Line, stop: threading.Event, ended: list[AimaasError | None]) -> None:
    try:
        score(line.settings, line.fleet, "0", stop=stop)
        ended.append(None)
    except AimaasError as e:
        ended.append(e)


def wait_until(condition: Callable[[], object]) -> None:
    limit = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.05)


def test_a_scorer_that_the_group_took_for_two_is_not_told_of_another_one(line: Line) -> None:
    consumer, fenced_by = group_consumer(line.settings, scorer_group(line.fleet), "0", 6_000)
    consumer.subscribe([line.names.events])
    while not consumer.assignment():
        consumer.consume(1, 0.1)
    consumer.close()  # a static member stays in the group, and drops out when its session ends

    assert "no other member of this name is left" in fenced_by()
    assert "start this scorer again" in fenced_by()


def test_a_missing_topic_is_one_line_before_anything_else(line: Line) -> None:
    delete_topics(line.settings, [line.names.models])
    delete_topics(line.settings, [line.names.state])
    with pytest.raises(
        KafkaError, match=r"no such topic at .*; create the fleet's topics with `aimaas topics create`"
    ) as raised:
        score(line.settings, line.fleet, "0", stop=threading.Event())
    assert "\n" not in str(raised.value)
