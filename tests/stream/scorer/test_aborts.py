"""Commits that fail under a running scorer, on a real broker: memory goes back, the events are scored again, nothing is lost."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any
from unittest.mock import Mock

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka import KafkaError as ClientError
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from aimaas.errors import KafkaError
from aimaas.kafka import admin, consumer_config, end_offsets, producer_config
from aimaas.kafka.topic_ids import topic_ids
from aimaas.topics import scorer_group
from stream.devices.faults import FAULTS, Faults
from stream.scorer import loop
from stream.scorer.group import restoring
from stream.scorer.output.opening import open_transactions
from stream.scorer.output.progress import Progress
from stream.scorer.output.writer import Writer
from stream.state.records import position_record
from stream.state.topic import restore
from tests.stream.conftest import Line

pytestmark = pytest.mark.broker

LIMIT_S = 30.0


class FailingCommits:
    """librdkafka's producer, but that the commits of these numbers fail, as where a broker went away: abortable.

    Each fails only after another batch was judged and handed over, where there is a next.
    """

    def __init__(self, producer: Any, failing: Callable[[int], bool], handed_over: threading.Semaphore | None) -> None:
        self._producer, self._failing, self._handed_over = producer, failing, handed_over
        self.commits = self.overlapped = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._producer, name)

    def commit_transaction(self, timeout_s: float) -> None:
        self.commits += 1
        if not self._failing(self.commits):
            self._producer.commit_transaction(timeout_s)
            return
        if self._handed_over is not None:
            self.overlapped += self._handed_over.acquire(timeout=LIMIT_S)
        raise KafkaException(ClientError(ClientError._TIMED_OUT, "as asked", txn_requires_abort=True))


@pytest.fixture
def fail_commits(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[FailingCommits]]:
    """Let scorers from now on fail in those commits, counted from 1; their producers come into the list."""
    handed_over = threading.Semaphore(0)
    write, start_commit = Writer.write, Writer.start_commit

    def counted(writer: Writer, *given: Any) -> None:
        write(writer, *given)
        handed_over.release()

    def started(writer: Writer, progress: Progress) -> None:
        while handed_over.acquire(blocking=False):
            pass
        start_commit(writer, progress)

    def let(failing: Callable[[int], bool], overlapped: bool = True) -> list[FailingCommits]:
        made: list[FailingCommits] = []

        def opened(*given: Any) -> Any:
            transactions: Any = open_transactions(*given)
            transactions._producer = FailingCommits(
                transactions._producer, failing, handed_over if overlapped else None
            )
            made.append(transactions._producer)
            return transactions

        monkeypatch.setattr(loop, "open_transactions", opened)
        return made

    monkeypatch.setattr(Writer, "write", counted)
    monkeypatch.setattr(Writer, "start_commit", started)
    return let


def with_bad_ones(line: Line) -> list[tuple[bytes, bytes | None]]:
    reasons = dict.fromkeys(FAULTS, 5)
    events = line.events(devices=12)
    faults = Faults(line.fleet, reasons, len(events), 1, datetime.now(UTC))
    return [(key, value) for key, value, _ in (*faults.feed(events), *faults.drain())]


def test_an_aborted_commit_takes_memory_back_with_the_batch_judged_meanwhile(line: Line, fail_commits: Any) -> None:
    champion = line.champion()
    line.send(with_bad_ones(line))
    scored, letters = line.undisturbed(champion)
    failing = (2, 3, 6)
    made = fail_commits(lambda n: n in failing)

    # few snapshots, so that a roll back reads much again; small batches, so that there are commits enough
    done = line.score_all(len(scored), len(letters), batch=50, commit_interval_ms=10, state_share=0.02)

    assert (made[0].overlapped, done.aborts) == (len(failing), len(failing))
    assert done.events == len(scored) + len(letters)  # work that was rolled back is not counted
    assert line.scored() == scored
    assert line.letters() == letters


def commit_as_another(line: Line, read: int) -> None:
    """What an owner that read so many events further leaves in the topics."""
    topic_id = topic_ids(line.settings, [line.names.events])[line.names.events]
    places = [TopicPartition(line.names.events, p, offset + read) for p, offset in line.group_offsets().items()]
    another = Producer(producer_config(line.settings, transactional_id="another"))
    another.init_transactions(LIMIT_S)
    another.begin_transaction()
    for place in places:
        key, value = position_record(topic_id, place.offset)
        another.produce(line.names.state, value, key, partition=place.partition)
    no_member = Consumer(consumer_config(line.settings, scorer_group(line.fleet))).consumer_group_metadata()
    another.send_offsets_to_transaction(places, no_member, LIMIT_S)
    another.commit_transaction(LIMIT_S)


def test_a_scorer_that_is_overtaken_while_it_takes_memory_back_blames_neither_offsets_nor_state(
    line: Line, fail_commits: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    line.champion()
    line.send(line.events(devices=12))
    fail_commits(lambda n: n == 2, overlapped=False)
    restores: list[int] = []

    def overtaken(*given: Any) -> Any:
        restores.append(len(restores))
        if len(restores) == 2:  # the first is that of the start
            commit_as_another(line, read=10)
        return restore(*given)

    monkeypatch.setattr(restoring, "restore", overtaken)

    with pytest.raises(
        KafkaError, match=r"another scorer commits in the partitions \[0, 1\].*nothing is lost, start it"
    ):
        line.score_until_it_fails(batch=100, commit_interval_ms=10)


def test_a_stop_whose_last_commit_fails_ends_well_and_leaves_the_events_to_the_next_scorer(
    line: Line, fail_commits: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    champion = line.champion()
    events = line.events(devices=2)[:60]
    line.send(events[:1])
    fails = [False]
    fail_commits(lambda _: fails[0], overlapped=False)
    warned: list[str] = []
    monkeypatch.setattr(loop, "log", Mock(warning=lambda event, **_: warned.append(event)))

    with line.scorer(commit_interval_ms=60_000, transaction_timeout_ms=60_000) as done:
        line.wait_for(1)  # the first commit comes at once, the next within a minute
        line.send(events[1:])
        wait_for_open_predictions(line, len(events) - 1)
        fails[0] = True

    assert (done.aborts, len(line.scored())) == (1, 1)
    assert warned == ["the last transaction was aborted; the next owner scores its events again"]
    fails[0] = False
    line.score_all(len(events))
    assert line.scored() == line.undisturbed(champion)[0]


def wait_for_open_predictions(line: Line, count: int) -> None:
    """Return once so many predictions are written in transactions that are not committed."""
    topic, limit = line.names.predictions, time.monotonic() + LIMIT_S
    ends = partial(end_offsets, line.settings, topic)
    while sum(ends("read_uncommitted").values()) - sum(ends("read_committed").values()) < count:
        assert time.monotonic() < limit
        time.sleep(0.05)


def set_largest_record(line: Line, topic: str, size: int) -> None:
    entry = ConfigEntry("max.message.bytes", str(size), incremental_operation=AlterConfigOpType.SET)
    client = admin(line.settings)
    (done,) = client.incremental_alter_configs(
        [ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])]
    ).values()
    done.result(LIMIT_S)
    limit = time.monotonic() + LIMIT_S
    while largest_record(client, topic) != size:
        assert time.monotonic() < limit
        time.sleep(0.05)


def largest_record(client: Any, topic: str) -> int:
    (asked,) = client.describe_configs([ConfigResource(ResourceType.TOPIC, topic)]).values()
    return int(asked.result(LIMIT_S)["max.message.bytes"].value)


def test_a_dead_letter_that_cannot_be_written_ends_the_scorer_and_nothing_is_lost(line: Line) -> None:
    champion = line.champion()
    good = line.events(devices=2)[:60]
    line.send(good[:30])

    places: list[tuple[int, int]] = []

    def meanwhile() -> None:  # a scorer does not start with such a topic
        line.wait_for(30)
        set_largest_record(line, line.names.dead_letters, 400)
        places.extend(line.send([(good[0][0], random.Random(1).randbytes(2_000)), *good[30:]]))

    changing = threading.Thread(target=meanwhile)
    changing.start()
    with pytest.raises(KafkaError, match=r"8 transactions in a row.*events\.dlq.*too large.*start the scorer again"):
        line.score_until_it_fails()
    changing.join()

    committed, (partition, offset) = line.group_offsets(), places[0]
    assert (len(line.scored()), line.letters()) == (sum(max(0, n) for n in committed.values()), {})
    assert committed[partition] == offset, "nothing at or behind the record is committed"
    with pytest.raises(KafkaError, match=r"max\.message\.bytes=400, required is \d+"):
        line.score_until_it_fails()
    set_largest_record(line, line.names.dead_letters, 2_000_000)
    line.score_all(30, 1)
    assert (line.scored(), line.letters()) == line.undisturbed(champion)
