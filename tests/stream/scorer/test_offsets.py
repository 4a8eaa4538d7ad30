"""Offsets are accounted for: what retention, people and clusters do to topics and groups is told, never skipped."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition

from aimaas.admission.journal import Gap, read_journal
from aimaas.errors import KafkaError, StateError
from aimaas.kafka import admin, create_topics, delete_topics, end_offsets, producer_config
from aimaas.kafka.topic_ids import topic_ids
from aimaas.kafka.topic_watch import TopicMadeAnewError
from aimaas.topics import scorer_group, topic_specs
from stream.state.records import position_record
from tests.stream.conftest import LIMIT_S, PARTITIONS, Line
from upkeep.dead_letters.decisions import Action
from upkeep.dead_letters.letters import read_letters
from upkeep.dead_letters.replay import replay_letters

pytestmark = pytest.mark.broker


def make_anew(line: Line, *topics: str) -> None:
    """Delete topics and make them anew; what sends events begins anew too."""
    delete_topics(line.settings, topics)
    create_topics(line.settings, [s for s in topic_specs(line.fleet) if s.name in topics])
    line.producer = Producer(producer_config(line.settings, message_max_bytes=20_000_000))


def delete_before(line: Line, ends: dict[int, int]) -> None:
    """Delete the records before these offsets, as retention does."""
    places = [TopicPartition(line.names.events, p, end) for p, end in ends.items()]
    client = admin(line.settings)
    for done in client.delete_records(places).values():
        done.result(30)


def delete_group(line: Line) -> None:
    group = scorer_group(line.fleet)
    client = admin(line.settings)
    await_that(lambda: deleted(client, group))


def deleted(client: Any, group: str) -> bool:
    error = client.delete_consumer_groups([group])[group].exception(30)
    return error is None or error.args[0].name() == "GROUP_ID_NOT_FOUND"


def await_that(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.1)


def label_of(line: Line) -> str:
    found = topic_ids(line.settings, [line.names.events])[line.names.events]
    return f"{line.names.events}@{found[:8]}"


def gaps(line: Line) -> list[Gap]:
    return sorted(read_journal(line.settings, line.fleet).gaps, key=lambda g: (g.topic, g.partition, g.first))


def places_of(gaps: list[Gap]) -> dict[tuple[str, int], tuple[int, int | None]]:
    return {(g.topic, g.partition): (g.first, g.last) for g in gaps}


def test_a_topic_made_anew_under_a_scorer_ends_it_and_the_next_one_begins_it_from_its_beginning(
    line: Line,
) -> None:
    champion = line.champion()
    old = line.events(devices=2)[:60]
    line.send(old)
    before = end_offsets(line.settings, line.names.events)
    with (
        pytest.raises(TopicMadeAnewError, match=r"was deleted and created again .* Start again"),
        line.scorer(ends_itself=True),
    ):
        line.wait_for(60)
        first = line.scored()
        make_anew(line, line.names.events)
        line.send(line.events(devices=2)[:200])  # more than there were, so that every old offset is there again

    assert line.scored() == first
    line.score_all(60 + 200)

    new = {s: p for s, p in line.scored().items() if s not in first}
    expected, letters = line.undisturbed(champion)
    assert not letters
    assert new == {s.replace(line.names.events, label_of(line)): p for s, p in expected.items()}
    assert places_of(gaps(line)) == {(line.names.events, p): (end, None) for p, end in before.items()}


def test_a_topic_made_anew_while_no_scorer_ran_begins_with_empty_state(line: Line) -> None:
    champion = line.champion()
    events = line.events(devices=2)
    line.send(events[:60])
    line.score_all(60)
    first = line.scored()
    make_anew(line, line.names.events)
    line.send(events[:150])  # of the old state these would be duplicates

    for _ in range(2):  # the second start finds nothing to do
        line.score_all(60 + 150)

    new = {s: p for s, p in line.scored().items() if s not in first}
    assert new == {s.replace(line.names.events, label_of(line)): p for s, p in line.undisturbed(champion)[0].items()}
    assert read_journal(line.settings, line.fleet).labels(line.names.events) == (line.names.events, label_of(line))


def test_retention_that_overtakes_a_stopped_scorer_is_a_gap_and_devices_go_on(line: Line) -> None:
    line.champion()
    events = line.events(devices=3)
    line.send(events[:60])
    line.score_all(60)
    stood = end_offsets(line.settings, line.names.events)
    line.send(events[60:90])
    begin = end_offsets(line.settings, line.names.events)
    delete_before(line, begin)
    line.send(events[90:])

    with line.scorer(metrics_port=0):
        line.wait_for(len(events) - 30)

    lost = {(line.names.events, p): (stood[p], begin[p] - 1) for p in stood if begin[p] > stood[p]}
    assert places_of(gaps(line)) == lost
    assert {g.by for g in gaps(line)} == {"scorer"}
    assert not line.dead_letters()


def test_retention_that_overtakes_a_running_scorer_is_a_gap_too(line: Line) -> None:
    line.champion()
    events = line.events(devices=3)
    line.send(events[:60])
    process = line.start_process()
    line.wait_for(60)
    stood = end_offsets(line.settings, line.names.events)
    process.send_signal(signal.SIGSTOP)
    for event in events[60:90]:  # the broker answers a waiting fetch with the first of them: these are no gap
        line.send([event])
    begin = end_offsets(line.settings, line.names.events)
    delete_before(line, begin)
    process.send_signal(signal.SIGCONT)
    line.send(events[90:])
    await_that(lambda: len(line.scored()) + sum(g.events or 0 for g in gaps(line)) == len(events))
    process.send_signal(signal.SIGTERM)

    assert process.wait(20) == 0, line.log_of()
    lasts = {(line.names.events, p): begin[p] - 1 for p in stood}
    assert gaps(line)
    assert all(lasts[g.topic, g.partition] == g.last and g.by == "scorer" for g in gaps(line))  # no state is lost


def test_a_group_that_expired_costs_nothing_since_the_state_topic_holds_the_position(line: Line) -> None:
    champion = line.champion()
    events = line.events(devices=3)
    line.send(events[:60])
    line.score_all(60)
    delete_group(line)
    line.send(events[60:])
    line.score_all(len(events))

    assert line.scored() == line.undisturbed(champion)[0]
    assert gaps(line) == []


def test_a_quiet_topic_whose_events_retention_deleted_before_their_state_was_saved_goes_on(line: Line) -> None:
    line.champion()
    line.send(line.events(devices=3)[:60])
    killed = line.start_process(state_share=0.001)
    line.wait_for(60)
    killed.kill()
    killed.wait(10)
    delete_before(line, end_offsets(line.settings, line.names.events))

    for _ in range(2):  # the second start finds the state saved
        line.score_all(60)
    line.send(line.events(devices=1, first_device=9)[:30])
    line.score_all(90)

    assert {g.by for g in gaps(line)} == {"state"}
    assert len(places_of(gaps(line))) == len(gaps(line))


def test_a_letter_of_a_topic_that_was_deleted_gets_its_prediction_under_its_old_coordinates(line: Line) -> None:
    line.champion()
    line.send([(key, value.replace(b'"readings"', b'"values"')) for key, value in line.events(devices=1)[:3]])
    line.score_all(0, 3)
    (old, *_), good = read_letters(line.settings, line.fleet), line.events(devices=1)[:3]
    make_anew(line, line.names.events)
    line.send(line.events(devices=1, first_device=5)[:5])
    line.score_all(5, 3)
    mended = replace(old, key=good[0][0], value=good[0][1])

    (done,) = replay_letters(line.settings, line.fleet, [old], [mended])
    line.score_all(6, 3)

    assert (done.action, str(old.source)) == (Action.STREAM, f"{line.names.events}/{old.source.partition}/0")
    assert str(old.source) in line.scored()


def test_a_log_that_lost_its_end_is_refused_with_partition_offsets_and_what_to_do(line: Line) -> None:
    line.champion()
    producer = Producer(producer_config(line.settings))
    found = topic_ids(line.settings, [line.names.events])[line.names.events]
    for p in range(PARTITIONS):
        record = position_record(found, 1_000)
        producer.produce(line.names.state, record.value, record.key, p)
    assert producer.flush(30) == 0

    with pytest.raises(
        StateError, match=r"partition \d: events before offset 1000 are answered, but the log ends at 0"
    ):
        line.score_until_it_fails()


def test_a_state_topic_made_anew_under_a_scorer_ends_it_and_the_next_has_state_from_the_log(line: Line) -> None:
    champion = line.champion()
    events = line.events(devices=2)
    line.send(events[:60])
    with pytest.raises(TopicMadeAnewError, match=line.names.state), line.scorer(ends_itself=True):
        line.wait_for(60)
        make_anew(line, line.names.state)
    line.send(events[60:])
    line.score_all(len(events))

    assert line.scored() == line.undisturbed(champion)[0]


@pytest.mark.parametrize("kind", ["events", "predictions"])
def test_a_topic_that_is_deleted_under_a_scorer_ends_it_with_one_clear_line(line: Line, kind: str) -> None:
    line.champion()
    line.send(line.events(devices=2)[:60])
    topic = getattr(line.names, kind)
    try:
        with pytest.raises(KafkaError) as caught, line.scorer(ends_itself=True):
            line.wait_for(60)
            delete_topics(line.settings, [topic])
    finally:
        create_topics(line.settings, topic_specs(line.fleet))
    assert topic in str(caught.value)
    assert "topics create" in str(caught.value)
    assert "\n" not in str(caught.value)
