from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from aimaas.errors import LakeError
from aimaas.lake import read_table, table_version
from aimaas.split import split_of
from spark_jobs.admit import admit
from spark_jobs.gold import gold
from spark_jobs.labels import with_labels
from spark_jobs.land import land

if TYPE_CHECKING:
    from tests.spark_jobs.conftest import Plant

pytestmark = pytest.mark.spark

RUL = {"kind": "remaining_useful_life", "unit": "cycles", "cap": 3}
WITHIN = {"kind": "failure_within", "unit": "cycles", "horizon": 2}
HOURS = {"kind": "remaining_useful_life", "unit": "hours", "cap": 2}
HOUR = 3_600_000_000  # microseconds

# rule, task, orders of the run's rows, its outcomes, labels
CASES: list[tuple[str, dict[str, Any], list[int], list[tuple[str, int]], list[float | None]]] = [
    ("life is capped, and 0 at the failure", RUL, [0, 1, 2, 3, 4], [("failed", 4)], [3, 3, 2, 1, 0]),
    ("alive: the cap where it was watched for so long", RUL, [0, 1, 2, 3, 4], [], [3, 3, None, None, None]),
    ("retired first: watched up to then", RUL, [0, 1, 2, 3], [("retired", 4)], [3, 3, None, None]),
    (
        "repaired before it failed: a later failure says nothing",
        RUL,
        [0, 1, 2],
        [("repaired", 2), ("failed", 3)],
        [None] * 3,
    ),
    (
        "rows between a repair and the failure have a life",
        RUL,
        [0, 1, 2],
        [("repaired", 1), ("failed", 3)],
        [None, None, 1],
    ),
    ("a repair after the failure changes nothing", RUL, [1, 2], [("failed", 2), ("repaired", 2)], [1, 0]),
    ("rows after the failure have no label", RUL, [1, 2, 5, 9], [("failed", 2)], [1, 0, None, None]),
    ("the first failure counts", RUL, [1, 2], [("failed", 3), ("failed", 2)], [1, 0]),
    ("gaps in the order count", RUL, [0, 7, 9], [("failed", 10)], [3, 3, 1]),
    ("within the horizon, both ends included", WITHIN, [0, 1, 2, 3, 4], [("failed", 4)], [0, 0, 1, 1, 1]),
    ("negative only where the horizon was watched", WITHIN, [0, 1, 2, 3], [], [0, 0, None, None]),
    ("an outcome shows that the horizon was watched", WITHIN, [0, 1], [("retired", 3)], [0, 0]),
    ("a repair ends the watch", WITHIN, [0, 1, 2], [("repaired", 2)], [0, None, None]),
    ("no label after the failure", WITHIN, [1, 2, 3, 8], [("failed", 2)], [1, 1, None, None]),
    ("time in hours", HOURS, [0, HOUR, 5 * HOUR // 2], [("failed", 3 * HOUR)], [2, 2, 0.5]),
    ("time in hours, alive", HOURS, [0, HOUR, 2 * HOUR], [], [2, None, None]),
]


def test_labels_follow_their_rules(spark: Any, make_fleet: Any) -> None:
    for task in (RUL, WITHIN, HOURS):
        cases = {rule: case for rule, *case in CASES if case[0] is task}
        fleet = make_fleet(task=task, order="ts" if task is HOURS else "seq")
        rows = [(rule, run, o) for rule, case in cases.items() for run in (0, 1) for o in case[1]]
        ends = [(rule, 1, order, kind) for rule, case in cases.items() for kind, order in case[2]]
        silver = spark.createDataFrame(rows, "device_id string, run bigint, `order` bigint")
        outcomes = spark.createDataFrame(ends, "device_id string, run bigint, `order` bigint, kind string")
        found: dict[str, list[float | None]] = {}
        for row in with_labels(fleet, silver, outcomes).where("run = 1").orderBy("order").collect():
            found.setdefault(row["device_id"], []).append(row["label"])
        assert found == {rule: case[3] for rule, case in cases.items()}


@pytest.mark.broker
def test_gold_is_silver_in_order_with_label_and_split_and_a_late_outcome_relabels(plant: Plant) -> None:
    devices = [f"d{i}" for i in range(12)]
    plant.send(*[(d, plant.event(d, seq)) for seq in range(30) for d in devices])
    plant.send(("d1", plant.outcome("d1", 29)), topic="outcomes")
    for name, work in (("land", land), ("admit", admit), ("gold", gold)):
        work(plant.job(name))
    columns = ["device_id", "run", "order", "heat", "label", "split", "failure_order"]
    rows = read_table(plant.settings, plant.fleet.fleet, "gold", columns).to_pylist()
    places = [(r["device_id"], r["run"], r["order"]) for r in rows]
    assert len(set(places)) == len(places) == 360
    for device in devices:
        mine = [r for r in rows if r["device_id"] == device]
        assert [r["order"] for r in mine] == list(range(30))
        assert {r["split"] for r in mine} == {split_of(device, plant.fleet.split)}
    assert [r["label"] for r in rows if r["device_id"] == "d1"] == [min(29.0 - seq, 20.0) for seq in range(30)]
    assert [r["label"] for r in rows if r["device_id"] == "d2"] == [20.0] * 10 + [None] * 20

    version = table_version(plant.settings, plant.fleet.fleet, "gold")
    assert gold(plant.job("gold"))["version"] == version

    plant.send(("d2", plant.outcome("d2", 35)), topic="outcomes")
    for name, work in (("land", land), ("admit", admit), ("gold", gold)):
        work(plant.job(name))
    rows = read_table(plant.settings, plant.fleet.fleet, "gold", columns).to_pylist()
    assert [r["label"] for r in rows if r["device_id"] == "d2"] == [min(35.0 - seq, 20.0) for seq in range(30)]


def test_without_silver_it_says_what_to_run(offline_settings: Any, make_fleet: Any) -> None:
    from spark_jobs.gold import find_sources

    with pytest.raises(LakeError, match="run the land and admit jobs first"):
        find_sources(offline_settings, make_fleet())
