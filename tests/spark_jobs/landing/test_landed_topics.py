"""What landing knows of topics that were made anew, and the way back from a commit: no engine."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from deltalake import CommitProperties, Transaction, write_deltalake

from aimaas.admission.journal import MADE_ANEW, Gap, Journal, TopicSeen
from aimaas.errors import LakeError
from aimaas.fleet import FleetSpec
from aimaas.lake import held, read_table, table_uri
from aimaas.settings import Settings
from spark_jobs.commits import note_of, undo
from spark_jobs.landing.landed_topics import LandedTopics, kafka_names, label_column

NOW = datetime(2026, 11, 29, tzinfo=UTC)
EVENTS, OUTCOMES = "iot.room.events", "iot.room.outcomes"
ANEW = f"{EVENTS}@9aBcDeFg"
SEEN = [TopicSeen(EVENTS, "first", NOW), TopicSeen(OUTCOMES, "only", NOW), TopicSeen(EVENTS, "9aBcDeFgHi", NOW)]


def topics(*gaps: Gap) -> LandedTopics:
    return LandedTopics({EVENTS: "9aBcDeFgHi", OUTCOMES: "only"}, Journal.of([*SEEN, *gaps]))


def test_offsets_go_by_labels_in_the_lake_and_by_names_in_kafka() -> None:
    found = topics().labelled({(EVENTS, 0): 5, (OUTCOMES, 1): 7})

    assert found == {(ANEW, 0): 5, (OUTCOMES, 1): 7}
    assert kafka_names(found) == {(EVENTS, 0): 5, (OUTCOMES, 1): 7}


def test_records_get_the_label_where_it_is_another_than_the_name() -> None:
    assert label_column([EVENTS, OUTCOMES]) == "topic"
    assert label_column([ANEW, OUTCOMES]) == f"CASE topic WHEN '{EVENTS}' THEN '{ANEW}' ELSE topic END AS topic"


def test_what_a_deleted_topic_held_beyond_the_landed_is_a_gap_that_is_told_once() -> None:
    landed = {(EVENTS, 0): 50, (EVENTS, 2): 9, (OUTCOMES, 0): 3, (ANEW, 0): 4}
    expected = [Gap(EVENTS, p, first, None, MADE_ANEW, "land", NOW) for p, first in ((0, 50), (2, 9))]

    assert topics().left_behind(landed, NOW) == expected
    assert topics(*expected).left_behind(landed, NOW) == []
    assert topics(expected[0]).left_behind(landed, NOW) == expected[1:]


def test_of_a_deleted_topic_that_never_landed_nothing_is_known_but_that_it_was() -> None:
    assert [(g.topic, g.first, g.last) for g in topics().left_behind({}, NOW)] == [(EVENTS, 0, None)]


def test_a_commit_is_undone_with_the_note_that_stood_before_it_and_the_numbers_go_on(
    offline_settings: Settings, make_fleet: Callable[..., FleetSpec]
) -> None:
    fleet = make_fleet()
    place: dict[str, Any] = {"topic": EVENTS, "partition": 0}

    def write(number: int, offsets: list[int], note: str) -> None:
        rows = pa.Table.from_pylist([place | {"offset": offset} for offset in offsets])
        properties = CommitProperties({"userMetadata": note}, app_transactions=[Transaction("land", number)])
        uri = table_uri(offline_settings, fleet.fleet, "bronze")
        write_deltalake(uri, rows, mode="append", partition_by=["topic", "partition"], commit_properties=properties)

    write(1, [0, 1], "mark before")
    seen = held(offline_settings, fleet.fleet, "bronze", "land")
    write(2, [2, 3], "mark wrong")

    undo(offline_settings, fleet, "bronze", seen)

    now = held(offline_settings, fleet.fleet, "bronze", "land")
    assert sorted(read_table(offline_settings, fleet.fleet, "bronze")["offset"].to_pylist()) == [0, 1]
    assert (now.offsets, note_of(now), now.number) == ({(EVENTS, 0): 2}, "before", 2)


def test_the_first_commit_cannot_be_undone_and_says_what_to_do(
    offline_settings: Settings, make_fleet: Callable[..., FleetSpec]
) -> None:
    seen = held(offline_settings, make_fleet().fleet, "bronze", "land")
    with pytest.raises(LakeError, match="remove the table, and run this job again"):
        undo(offline_settings, make_fleet(), "bronze", seen)
