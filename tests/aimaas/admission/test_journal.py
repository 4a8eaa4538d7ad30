"""The journal: what a fold of its entries says, and the topic that holds them, on the real broker."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec
import pytest
from confluent_kafka import Producer
from hypothesis import given
from hypothesis import strategies as st

from aimaas.admission.journal import Gap, Journal, TopicSeen, append_to_journal, decode_entry, note_topics, read_journal
from aimaas.errors import KafkaError
from aimaas.fleet import FleetSpec, find_fleet
from aimaas.kafka import create_topics, delete_topics, producer_config
from aimaas.kafka.topic_ids import id_of, topic_ids
from aimaas.settings import Settings
from aimaas.topics import topic_names, topic_of, topic_specs
from tests.conftest import FLEETS

NOW = datetime(2026, 11, 29, 10, tzinfo=UTC)
EVENTS = "iot.pump.events"
OLD, NEW = "mJk3dRYzRyOIxcfHbBWxNw", "9aBcDeFgRyOIxcfHbBWxNw"


@pytest.fixture
def fleet(settings: Settings) -> Iterator[FleetSpec]:
    mill = find_fleet(FLEETS, "mill")
    made = FleetSpec.model_validate({**mill.model_dump(), "fleet": f"j{time.time_ns() % 10**12}"})
    wanted = (topic_names(made).journal, topic_names(made).events)
    create_topics(settings, [s for s in topic_specs(made) if s.name in wanted])
    yield made
    delete_topics(settings, wanted)


def test_the_first_id_of_a_topic_has_its_name_as_label_and_a_later_one_has_its_id_behind_it() -> None:
    journal = Journal.of([TopicSeen(EVENTS, i, NOW) for i in (OLD, NEW, OLD)])

    assert (journal.label(EVENTS, OLD), journal.label(EVENTS, NEW)) == (EVENTS, f"{EVENTS}@9aBcDeFg")
    assert journal.labels(EVENTS) == (EVENTS, f"{EVENTS}@9aBcDeFg")
    assert topic_of(journal.label(EVENTS, NEW)) == EVENTS


def test_a_topic_that_nobody_has_seen_has_its_name_as_label() -> None:
    assert (Journal().label(EVENTS, OLD), Journal().labels(EVENTS)) == (EVENTS, (EVENTS,))


def test_a_gap_that_is_said_twice_is_one_and_gaps_are_told_apart_by_topic_and_reader() -> None:
    gap = Gap(EVENTS, 1, 5, 9, "retention", "scorer", NOW)
    others = [replace_gap(gap, topic=f"{EVENTS}@9aBcDeFg", last=None), replace_gap(gap, by="land")]
    journal = Journal.of([gap, replace_gap(gap, at=datetime.now(UTC)), *others, replace_gap(gap, topic="other")])

    assert journal.gaps_of(EVENTS) == (gap, *others)
    assert journal.gaps_of(EVENTS, "land") == (others[1],)
    assert (gap.events, others[0].events) == (5, None)


def replace_gap(gap: Gap, **changes: object) -> Gap:
    return msgspec.structs.replace(gap, **changes)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([OLD, NEW, "x" * 22]))))
def test_labels_are_unique_and_do_not_change_when_entries_follow(seen: list[tuple[str, str]]) -> None:
    entries = [TopicSeen(topic, i, NOW) for topic, i in seen]
    whole = Journal.of(entries)
    assert all(len(set(whole.labels(t))) == len(whole.labels(t)) for t in whole.ids)
    for n in range(len(entries)):
        part = Journal.of(entries[: n + 1])
        assert all(part.label(t, i) == whole.label(t, i) for t, ids in part.ids.items() for i in ids)


def test_an_id_is_written_as_kafka_writes_it_so_that_no_label_has_a_slash() -> None:
    class Description:
        topic_id = "DF7k+ylT0/As/5d2I3NPA"

    assert id_of(Description()) == "DF7k-ylT0_As_5d2I3NPA"


def test_an_entry_of_a_later_release_is_passed_over() -> None:
    assert decode_entry(b'{"entry":"of_tomorrow","topic":5}') is None


@pytest.mark.parametrize("value", [None, b"", b"\xff", b"[1]", b"{}", b'{"entry":5}', b'{"entry":"gap","topic":"x"}'])
def test_what_is_no_entry_is_refused(value: bytes | None) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_entry(value)


@pytest.mark.broker
def test_entries_come_back_in_order_and_garbage_between_them_is_passed_over(
    settings: Settings, fleet: FleetSpec
) -> None:
    assert read_journal(settings, fleet) == Journal()
    gap = Gap(EVENTS, 0, 0, 4, "retention deleted them", "land", NOW)
    append_to_journal(settings, fleet, [TopicSeen(EVENTS, OLD, NOW), gap])
    producer = Producer(producer_config(settings))
    for value in (b"{", None, b"[" * 100_000, b'{"entry":"of_tomorrow"}'):
        producer.produce(topic_names(fleet).journal, value)
    assert producer.flush(30) == 0
    append_to_journal(settings, fleet, [TopicSeen(EVENTS, NEW, NOW)])

    assert read_journal(settings, fleet) == Journal({EVENTS: (OLD, NEW)}, (gap,))


@pytest.mark.broker
def test_a_topic_made_anew_is_noted_under_its_new_id(settings: Settings, fleet: FleetSpec) -> None:
    names = topic_names(fleet)
    first, before = note_topics(settings, fleet, [names.events], NOW), topic_ids(settings, [names.events])[names.events]
    assert note_topics(settings, fleet, [names.events], NOW) == first
    delete_topics(settings, [names.events])
    create_topics(settings, [s for s in topic_specs(fleet) if s.name == names.events])

    journal = note_topics(settings, fleet, [names.events], NOW)

    now = topic_ids(settings, [names.events])[names.events]
    assert journal.ids == {names.events: (before, now)}
    assert journal.labels(names.events) == (names.events, f"{names.events}@{now[:8]}")


@pytest.mark.broker
def test_a_fleet_without_a_journal_is_told_how_to_make_one(settings: Settings, fleet: FleetSpec) -> None:
    other = fleet.model_copy(update={"topics": replace_names(fleet, journal="not.there")})
    with pytest.raises(KafkaError, match="no such topic"):
        read_journal(settings, other)


def replace_names(fleet: FleetSpec, **names: str) -> object:
    return fleet.topics.model_copy(update={"names": names})
