"""A topic that is deleted and made anew between two landings, or amid one: real Kafka, Spark and Delta."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from aimaas.admission.journal import read_journal
from aimaas.kafka import create_topics, delete_topics
from aimaas.kafka.topic_ids import topic_ids
from aimaas.kafka.topic_watch import TopicMadeAnewError
from aimaas.lake import read_table
from aimaas.topics import topic_names, topic_specs
from spark_jobs import land as landing
from spark_jobs.admit import admit
from spark_jobs.commits import commit
from spark_jobs.land import land

if TYPE_CHECKING:
    from tests.spark_jobs.conftest import Plant

pytestmark = [pytest.mark.broker, pytest.mark.spark]


def make_anew(plant: Plant) -> str:
    """Delete the events topic and make it anew; its label from now on."""
    events = topic_names(plant.fleet).events
    delete_topics(plant.settings, [events])
    create_topics(plant.settings, [s for s in topic_specs(plant.fleet) if s.name == events])
    return f"{events}@{topic_ids(plant.settings, [events])[events][:8]}"


def topics_of(plant: Plant, table: Any) -> dict[str, int]:
    return dict(Counter(read_table(plant.settings, plant.fleet.fleet, table, ["topic"])["topic"].to_pylist()))


def test_a_topic_made_anew_lands_under_a_label_of_its_own_from_its_beginning_however_long_it_is(plant: Plant) -> None:
    events = topic_names(plant.fleet).events
    plant.send(*[("d1", plant.event("d1", i)) for i in range(4)])
    land(plant.job("land"))
    admit(plant.job("admit"))
    label = make_anew(plant)
    plant.send(
        *[("d1", plant.event("d1", i)) for i in range(9)]
    )  # the first of them would be duplicates in the old one

    report = land(plant.job("land"))

    (partition,) = {p for (topic, p) in _places(plant) if topic == label}
    assert (report["offsets"], report["deleted_from"][f"{events}/{partition}"]) == (9, 4)
    assert topics_of(plant, "bronze") == {events: 4, label: 9}
    assert land(plant.job("land")) == {"offsets": 0}
    assert admit(plant.job("admit"))["silver"] == 9
    assert topics_of(plant, "silver") == {events: 4, label: 9}
    gaps = {(g.topic, g.partition): (g.first, g.last, g.by) for g in read_journal(plant.settings, plant.fleet).gaps}
    assert gaps[events, partition] == (4, None, "land")

    plant.send(("d1", plant.event("d1", 9)))
    assert land(plant.job("land"))["offsets"] == 1


def _places(plant: Plant) -> set[tuple[str, int]]:
    rows = read_table(plant.settings, plant.fleet.fleet, "bronze", ["topic", "partition"]).to_pylist()
    return {(row["topic"], row["partition"]) for row in rows}


def test_a_topic_made_anew_amid_a_landing_is_not_mistaken_for_the_old_one(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = topic_names(plant.fleet).events
    plant.send(*[("d1", plant.event("d1", i)) for i in range(4)])
    land(plant.job("land"))
    plant.send(*[("d1", plant.event("d1", i)) for i in range(4, 6)])

    def and_make_anew(*arguments: Any) -> None:
        make_anew(plant)
        plant.send(*[("d1", plant.event("d1", i)) for i in range(20, 29)])
        commit(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(landing, "commit", and_make_anew)
        with pytest.raises(TopicMadeAnewError, match="was deleted and created again"):
            land(plant.job("land"))

    assert topics_of(plant, "bronze") == {events: 4}
    assert land(plant.job("land"))["offsets"] == 9
    label = read_journal(plant.settings, plant.fleet).labels(events)[-1]
    assert topics_of(plant, "bronze") == {events: 4, label: 9}
