"""Who put a scorer out is told as the group says it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from aimaas.errors import AimaasError, KafkaError
from aimaas.kafka import delete_topics
from aimaas.topics import scorer_group
from stream.scorer.assignment import group_consumer
from stream.scorer.run import score

pytestmark = pytest.mark.broker


def test_a_second_scorer_of_the_same_instance_puts_the_first_out_which_says_that(line: Any) -> None:
    line.champion()
    stop, ended = threading.Event(), []
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


def run(line: Any, stop: threading.Event, ended: list[AimaasError | None]) -> None:
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


def test_a_scorer_that_the_group_took_for_two_is_not_told_of_another_one(line: Any) -> None:
    consumer, fenced_by = group_consumer(line.settings, scorer_group(line.fleet), "0", 6_000)
    consumer.subscribe([line.names.events])
    while not consumer.assignment():
        consumer.consume(1, 0.1)
    consumer.close()  # a static member stays in the group, and drops out when its session ends

    assert "took" in fenced_by()
    assert "start this scorer again" in fenced_by()


def test_a_missing_topic_is_one_line_before_anything_else(line: Any) -> None:
    delete_topics(line.settings, [line.names.models])
    delete_topics(line.settings, [line.names.state])
    with pytest.raises(
        KafkaError, match=r"no such topic at .*; create the fleet's topics with `aimaas topics create`"
    ) as raised:
        score(line.settings, line.fleet, "0", stop=threading.Event())
    assert "\n" not in str(raised.value)
