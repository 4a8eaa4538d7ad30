"""After a growth of the topics the lake goes on to say of every event what the stream says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from aimaas.admission.judge import Judge, Reason
from aimaas.admission.partitioner import partition_of
from aimaas.errors import LakeError
from aimaas.kafka import end_offsets, read_all
from aimaas.kernel.state import DeviceState
from aimaas.lake import held, read_table
from aimaas.topics import topic_names
from spark_jobs.admit import admit
from spark_jobs.land import land
from tests.spark_jobs.memory_journal import by_file
from upkeep.growth.checks import check_lake
from upkeep.growth.lake import move_in_lake
from upkeep.growth.topics import grow_topic

if TYPE_CHECKING:
    from tests.spark_jobs.conftest import Plant

pytestmark = [pytest.mark.broker, pytest.mark.spark]
GROWN = 7
DEVICES = [f"d{i}" for i in range(12)]


def events(plant: Plant, seqs: range) -> list[tuple[Any, bytes | None]]:
    return [(device, plant.event(device, seq)) for seq in seqs for device in DEVICES]


def admitted_by(plant: Plant) -> None:
    land(plant.job("land"))
    admit(plant.job("admit"))


def said_by_the_lake(plant: Plant) -> dict[tuple[int, int], tuple[str, bool]]:
    """Reason of each event, and whether a run began with it, by partition and offset."""
    fleet, found = plant.fleet.fleet, {}
    for row in read_table(plant.settings, fleet, "silver", ["partition", "offset", "begins"]).to_pylist():
        found[row["partition"], row["offset"]] = "admitted", row["begins"]
    for row in read_table(plant.settings, fleet, "quarantine", ["partition", "offset", "reason"]).to_pylist():
        found[row["partition"], row["offset"]] = row["reason"], False
    return found


def said_by_one_scorer(plant: Plant) -> dict[tuple[int, int], tuple[str, bool]]:
    """The same of a scorer that has all devices in one partition."""
    records = sorted(
        read_all(plant.settings, topic_names(plant.fleet).events), key=lambda r: (r.timestamp_ms, r.offset)
    )
    judge = Judge(plant.fleet)
    batch = judge.decode([r.key for r in records], [r.value for r in records])
    judge.order(batch, np.array([r.timestamp_ms for r in records], np.int64), DeviceState.of(plant.fleet))
    begins = dict(zip(batch.at.tolist(), batch.reset.tolist(), strict=True))
    return {
        (r.partition, r.offset): (Reason(batch.reason[i]).label, begins[i] and not batch.reason[i])
        for i, r in enumerate(records)
    }


@pytest.mark.long
def test_devices_that_moved_are_judged_by_what_they_sent_before(plant: Plant) -> None:
    topic = topic_names(plant.fleet).events
    plant.send(*events(plant, range(10, 20)))
    admitted_by(plant)

    moved = move_in_lake(plant.settings, plant.fleet, GROWN)
    again = move_in_lake(plant.settings, plant.fleet, GROWN)
    grow_topic(plant.settings, topic, GROWN)
    assert admit(plant.job("admit")) == {"silver": 0, "outcomes": 0, "quarantine": 0}
    late_and_doubled = events(plant, range(5, 7)) + events(plant, range(18, 20))
    plant.send(*late_and_doubled, *events(plant, range(20, 23)))
    admitted_by(plant)

    there = {d: partition_of(d.encode(), GROWN) for d in DEVICES}
    assert (moved, again) == (sum(there[d] != partition_of(d.encode(), 3) for d in DEVICES), 0)
    assert moved > 0
    assert said_by_the_lake(plant) == said_by_one_scorer(plant)
    state = read_table(plant.settings, plant.fleet.fleet, "admission_state").to_pylist()
    assert {r["device_id"]: r["partition"] for r in state if r["device_id"]} == there
    ends = {(topic, p): n for p, n in end_offsets(plant.settings, topic).items() if n}
    found = held(plant.settings, plant.fleet.fleet, "admission_state", "admit").offsets
    assert {at: n for at, n in found.items() if n} == ends


def test_an_admission_that_looked_before_the_growth_fails_instead_of_moving_devices_back(
    plant: Plant, spark: Any
) -> None:
    from spark_jobs.admit import find_portion, judge_portion, rows_of
    from spark_jobs.commits import commit

    plant.send(*events(plant, range(3)))
    admitted_by(plant)
    plant.send(*events(plant, range(3, 5)))
    land(plant.job("land"))
    portion = find_portion(plant.settings, plant.fleet)
    assert portion is not None
    state = rows_of(
        judge_portion(spark, plant.settings, plant.fleet, portion, by_file(plant.fleet)), "admission_state", plant.fleet
    )
    move_in_lake(plant.settings, plant.fleet, GROWN)

    with pytest.raises(LakeError, match="another admit job"):
        commit(plant.settings, plant.fleet, "admission_state", "admit", state, portion.state, mode="overwrite")


def test_a_lake_that_is_behind_the_scorers_is_said_so(plant: Plant) -> None:
    topic = topic_names(plant.fleet).events
    check_lake(plant.settings, plant.fleet, dict.fromkeys(range(3), 5))  # no lake, nothing to move
    plant.send(*events(plant, range(3)))
    admitted_by(plant)
    check_lake(plant.settings, plant.fleet, end_offsets(plant.settings, topic))
    plant.send(*events(plant, range(3, 4)))

    with pytest.raises(LakeError, match=r"has not admitted all of .*: run the DAG \w+_ingest"):
        check_lake(plant.settings, plant.fleet, end_offsets(plant.settings, topic))
