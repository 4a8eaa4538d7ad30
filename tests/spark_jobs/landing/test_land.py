from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import TopicPartition

from aimaas.errors import LakeError
from aimaas.fleet import FleetSpec
from aimaas.kafka import admin, end_offsets, read_all
from aimaas.lake import Held, held, read_table, table_version
from aimaas.settings import Settings
from aimaas.topics import topic_names
from spark_jobs.commits import commit
from spark_jobs.land import Landing, ask_topics, land, landed_offsets, plan_landing, read_topics
from spark_jobs.landing.gaps import record_gaps

if TYPE_CHECKING:
    from tests.spark_jobs.conftest import Plant

A, B = ("events", 0), ("events", 1)


def bronze(plant: Plant) -> list[tuple[Any, ...]]:
    columns = ["topic", "partition", "offset", "key", "value"]
    found = read_table(plant.settings, plant.fleet.fleet, "bronze", columns).to_pydict()
    return sorted(zip(*(found[name] for name in columns), strict=True))


def sent(plant: Plant) -> list[tuple[Any, ...]]:
    names = topic_names(plant.fleet)
    records = [r for topic in (names.events, names.outcomes) for r in read_all(plant.settings, topic)]
    return sorted((r.topic, r.partition, r.offset, r.key, r.value) for r in records)


def delete_before(plant: Plant, topic: str, partition: int, offset: int) -> None:
    """Delete the records before an offset, as retention does."""
    client = admin(plant.settings)
    for deleted in client.delete_records([TopicPartition(topic, partition, offset)]).values():
        deleted.result(30)


@pytest.mark.parametrize(
    ("landed", "begin", "end", "expected"),
    [
        ({}, {A: 0}, {A: 5}, Landing({A: 0}, {A: 5})),
        ({A: 3}, {A: 0}, {A: 5}, Landing({A: 3}, {A: 5})),
        ({A: 5}, {A: 0}, {A: 5}, Landing({}, {})),
        ({A: 5}, {A: 0, B: 0}, {A: 5, B: 2}, Landing({B: 0}, {B: 2})),
        ({}, {A: 7}, {A: 9}, Landing({A: 7}, {A: 9}, {A: 0})),
        ({}, {A: 7}, {A: 7}, Landing({A: 7}, {A: 7}, {A: 0})),
        ({A: 5}, {A: 5}, {A: 6}, Landing({A: 5}, {A: 6})),
    ],
    ids=[
        "new topic",
        "goes on",
        "nothing new",
        "new partition",
        "first landing after retention",
        "first landing after retention took all",
        "retention up to here",
    ],
)
def test_a_landing_starts_where_bronze_ends(landed: Any, begin: Any, end: Any, expected: Landing) -> None:
    assert plan_landing(landed, begin, end) == expected


def test_records_that_retention_deleted_unread_are_named() -> None:
    with pytest.raises(LakeError, match="topic events, partition 0: offsets 3 to 6 were deleted"):
        plan_landing({A: 3}, {A: 7}, {A: 9})
    assert plan_landing({A: 3}, {A: 7}, {A: 9}, accept_loss=True) == Landing({A: 7}, {A: 9}, {A: 3})


def test_a_gap_is_told_also_of_a_partition_with_nothing_new_behind_it() -> None:
    landed, begin, end = {A: 100, B: 5}, {A: 103, B: 0}, {A: 103, B: 9}
    with pytest.raises(LakeError, match="partition 0: offsets 100 to 102 were deleted"):
        plan_landing(landed, begin, end)
    assert plan_landing(landed, begin, end, accept_loss=True) == Landing({A: 103, B: 5}, {A: 103, B: 9}, {A: 100})


@pytest.mark.parametrize("noted", ["", '{"events": {"0": 101, "1": 0}}', '{"events": {"0": 7}}'])
def test_where_a_landing_ended_is_what_it_noted_or_what_bronze_holds(noted: str) -> None:
    seen = Held(3, 3, {A: 100}, f"mark {noted}")
    expected = {"": {A: 100}, '{"events": {"0": 7}}': {A: 100}}
    assert landed_offsets(seen, {}) == expected.get(noted, {A: 101, B: 0})


def test_an_accepted_gap_is_written_down_once(offline_settings: Settings, make_fleet: Callable[..., FleetSpec]) -> None:
    fleet, now = make_fleet(), datetime(2026, 11, 23, tzinfo=UTC)
    for _ in range(2):  # the second is a run again after a kill
        record_gaps(offline_settings, fleet, {A: 3, B: 0}, {A: 7, B: 2}, now)
    record_gaps(offline_settings, fleet, {A: 9}, {A: 11}, now)
    found = read_table(offline_settings, fleet.fleet, "gaps").sort_by(
        [("topic", "ascending"), ("first_offset", "ascending")]
    )
    assert [tuple(row.values()) for row in found.to_pylist()] == [
        ("events", 1, 0, 1, now), ("events", 0, 3, 6, now), ("events", 0, 9, 10, now),
    ]  # fmt: skip


def test_a_topic_made_anew_is_not_mistaken_for_the_old_one() -> None:
    with pytest.raises(LakeError, match="landed up to offset 8, the topic ends at 2"):
        plan_landing({A: 9}, {A: 0}, {A: 2})


@pytest.mark.broker
@pytest.mark.spark
def test_every_record_lands_once_as_it_came(plant: Plant) -> None:
    plant.send(*[(f"d{i}", plant.event(f"d{i}", i)) for i in range(20)], (None, None), (b"\xff", b"{"))
    plant.send(("d1", plant.outcome("d1", 9)), topic="outcomes")
    assert land(plant.job("land"))["offsets"] == 23
    assert bronze(plant) == sent(plant)
    headers = read_table(plant.settings, plant.fleet.fleet, "bronze", ["headers"])["headers"].to_pylist()
    assert headers == [[{"key": "ce_id", "value": b"1"}]] * 23

    version = table_version(plant.settings, plant.fleet.fleet, "bronze")
    assert land(plant.job("land")) == {"offsets": 0}
    assert table_version(plant.settings, plant.fleet.fleet, "bronze") == version

    plant.send(("d1", plant.event("d1", 30)))
    assert land(plant.job("land"))["offsets"] == 1
    assert bronze(plant) == sent(plant)


@pytest.mark.broker
@pytest.mark.spark
def test_of_two_landings_from_one_start_only_one_is_written(plant: Plant, spark: Any) -> None:
    plant.send(*[("d1", plant.event("d1", i)) for i in range(5)])
    begin, end = ask_topics(plant.settings, plant.fleet)
    plant.send(*[("d1", plant.event("d1", i)) for i in range(5, 9)])
    assert land(plant.job("land"))["offsets"] == 9
    slow = read_topics(spark, plant.settings, plan_landing({}, begin, end))
    with pytest.raises(LakeError, match="another land job wrote to it meanwhile"):
        commit(plant.settings, plant.fleet, "bronze", "land", slow, Held())
    assert bronze(plant) == sent(plant)


@pytest.mark.broker
@pytest.mark.spark
def test_a_gap_that_somebody_accepts_is_passed_over_and_told(plant: Plant) -> None:
    plant.send(*[("d1", plant.event("d1", i)) for i in range(4)])
    land(plant.job("land"))
    plant.send(*[("d1", plant.event("d1", i)) for i in range(4, 9)])
    events = topic_names(plant.fleet).events
    ((partition, end),) = [(p, n) for p, n in end_offsets(plant.settings, events).items() if n]
    delete_before(plant, events, partition, end - 2)

    with pytest.raises(LakeError, match="offsets 4 to 6 were deleted by retention"):
        land(plant.job("land"))
    assert land(plant.job("land", accept_loss=True)) == {"offsets": 2, "lost": {f"{events}/{partition}": "4 to 6"}}
    (gap,) = read_table(plant.settings, plant.fleet.fleet, "gaps").to_pylist()
    assert {**gap, "accepted_at": None} == {
        "topic": events, "partition": partition, "first_offset": 4, "last_offset": 6, "accepted_at": None,
    }  # fmt: skip
    assert len(bronze(plant)) == 6


@pytest.mark.broker
@pytest.mark.spark
def test_a_gap_at_the_end_of_a_topic_is_accepted_once_and_for_all(plant: Plant) -> None:
    plant.send(*[("d1", plant.event("d1", i)) for i in range(4)])
    land(plant.job("land"))
    plant.send(("d1", plant.event("d1", 4)))
    events = topic_names(plant.fleet).events
    ((partition, end),) = [(p, n) for p, n in end_offsets(plant.settings, events).items() if n]
    delete_before(plant, events, partition, end)

    with pytest.raises(LakeError, match="offsets 4 to 4 were deleted by retention"):
        land(plant.job("land"))
    assert land(plant.job("land", accept_loss=True)) == {"offsets": 0, "lost": {f"{events}/{partition}": "4 to 4"}}
    assert land(plant.job("land")) == {"offsets": 0}
    plant.send(("d1", plant.event("d1", 5)))
    assert land(plant.job("land")) == {"offsets": 1}
    assert [offset for _, _, offset, _, _ in bronze(plant)] == [0, 1, 2, 3, 5]


@pytest.mark.broker
@pytest.mark.spark
def test_what_an_old_topic_has_lost_before_its_first_landing_is_told_and_stops_nothing(plant: Plant) -> None:
    plant.send(*[("d1", plant.event("d1", i)) for i in range(4)])
    events = topic_names(plant.fleet).events
    ((partition, end),) = [(p, n) for p, n in end_offsets(plant.settings, events).items() if n]
    delete_before(plant, events, partition, end - 1)
    assert land(plant.job("land")) == {"offsets": 1, "lost": {f"{events}/{partition}": "0 to 2"}}
    assert land(plant.job("land")) == {"offsets": 0}
    (gap,) = read_table(plant.settings, plant.fleet.fleet, "gaps", ["first_offset", "last_offset"]).to_pylist()
    assert gap == {"first_offset": 0, "last_offset": 2}


@pytest.mark.broker
@pytest.mark.spark
def test_landing_goes_on_rightly_after_the_files_were_compacted(plant: Plant, spark: Any) -> None:
    from aimaas.lake import table_path

    for first in (0, 5):
        plant.send(*[(f"d{i % 3}", plant.event(f"d{i % 3}", i)) for i in range(first, first + 5)])
        land(plant.job("land"))
    spark.sql(f"OPTIMIZE delta.`{table_path(plant.settings, plant.fleet.fleet, 'bronze')}`").collect()
    plant.send(("d1", plant.event("d1", 30)))
    assert land(plant.job("land"))["offsets"] == 1
    assert bronze(plant) == sent(plant)


@pytest.mark.broker
@pytest.mark.spark
def test_what_a_transaction_left_behind_its_records_is_read_once(plant: Plant) -> None:
    plant.send(("d1", plant.event("d1", 0)), transactional_id=f"{plant.fleet.fleet}-t")
    land(plant.job("land"))
    plant.send(("d1", plant.event("d1", 1)), transactional_id=f"{plant.fleet.fleet}-t")
    land(plant.job("land"))
    assert bronze(plant) == sent(plant)
    events = topic_names(plant.fleet).events
    found = held(plant.settings, plant.fleet.fleet, "bronze", "land")
    markers = sum(end_offsets(plant.settings, events).values()) - sum(found.offsets.values())
    assert (markers, land(plant.job("land"))) == (1, {"offsets": 0})

    for partition, end in end_offsets(plant.settings, events).items():
        delete_before(plant, events, partition, end)
    assert land(plant.job("land")) == {"offsets": 0}, "a marker that retention deleted is no gap"
