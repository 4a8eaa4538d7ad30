"""Gold made hour by hour is gold made at once: late events, late outcomes, retries and kills in between."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from deltalake import DeltaTable

from aimaas.admission.judge import Judge, Reason
from aimaas.fleet import FleetSpec
from aimaas.labels.lifetimes import lives_of
from aimaas.lake import held, read_table, table_path
from aimaas.settings import Settings
from spark_jobs import gold as gold_job
from spark_jobs.admission.verdicts import order_state
from spark_jobs.admit import admit
from spark_jobs.commits import commit
from spark_jobs.corrected_view.frames import not_there_yet
from spark_jobs.features import features
from spark_jobs.job import Job
from tests.published import gold
from tests.spark_jobs.arrivals import DEVICES, Arrivals, Received
from tests.spark_jobs.memory_journal import MemoryJournal

pytestmark = [pytest.mark.spark, pytest.mark.timeout(600)]

LIMITS = {"lateness_s": 200, "silence_s": 500, "skew_s": 60}
BRONZE = "topic string, partition int, offset bigint, broker_ts timestamp, key binary, value binary"
Key = tuple[str, int, int]


class Lake:
    """A lake whose bronze is written by hand, so that the test has the broker's clock."""

    def __init__(self, spark: Any, settings: Settings, fleet: FleetSpec, journal: MemoryJournal | None = None) -> None:
        self.spark, self.settings, self.fleet = spark, settings, fleet
        self.journal = journal or MemoryJournal()

    def job(self, name: str, **arguments: Any) -> Job:
        named = argparse.Namespace(**arguments)
        return Job(name, self.settings, self.fleet, named, start=lambda *_: self.spark, journal=self.journal)

    def receive(self, records: list[Received]) -> None:
        """Land and admit the records."""
        frame = self.spark.createDataFrame([tuple(r) for r in records], BRONZE)
        commit(
            self.settings, self.fleet, "bronze", "land", frame, held(self.settings, self.fleet.fleet, "bronze", "land")
        )
        admit(self.job("admit"))

    def gold(self) -> dict[str, Any]:
        return gold(self.job("gold"))

    def rows(self) -> pa.Table:
        """Gold in order."""
        found = read_table(self.settings, self.fleet.fleet, "gold")
        return found.sort_by([(name, "ascending") for name in ("device_id", "run", "order")]).combine_chunks()

    def digest(self, folder: Path) -> str:
        """The digest of the training set made of gold as it is."""
        return str(features(self.job("features", out=str(folder)))["digest"])

    def copy(self, settings: Settings) -> Lake:
        """A lake with the same records, which no gold has been made of."""
        shutil.copytree(self.settings.lake, settings.lake)
        for table in ("gold", "gold_state"):
            shutil.rmtree(table_path(settings, self.fleet.fleet, table), ignore_errors=True)
        return Lake(self.spark, settings, self.fleet, self.journal)


@pytest.fixture
def lake(spark: Any, offline_settings: Settings, make_fleet: Callable[..., FleetSpec]) -> Lake:
    return Lake(spark, offline_settings, make_fleet(limits=LIMITS, topics={"partitions": 2}))


@pytest.fixture
def twin_settings(offline_settings: Settings, tmp_path: Path) -> Settings:
    return replace(offline_settings, home=tmp_path / "twin", lake=str(tmp_path / "twin" / "lake"))


class KilledError(Exception):
    """What a kill is, as far as the tables can see."""


def kill(*_: object, **__: object) -> None:
    raise KilledError


def expected_rows(fleet: FleetSpec, records: list[Received]) -> dict[Key, tuple[int, int, bool]]:
    """The corrected view by its rules: (partition, offset, late) of the row at each place."""
    judge = Judge(fleet)
    found: dict[Key, tuple[int, int, bool]] = {}
    for partition in (0, 1):
        mine = [r for r in records if r.partition == partition and r.topic.endswith("events")]
        batch = judge.decode([r.key for r in mine], [r.value for r in mine])
        broker_us = np.array([int(r.broker_ts.timestamp() * 1e6) for r in mine])
        judge.order(batch, broker_us // 1000, order_state())
        for row, at in enumerate(batch.at):
            is_late = batch.reason[at] == Reason.LATE
            in_time = broker_us[at] - batch.ts_us[row] <= fleet.limits.lateness_s * 1e6
            if batch.reason[at] == Reason.ADMITTED or (is_late and in_time):
                key = (batch.device_ids[row], int(batch.run[row]), int(batch.order[row]))
                found.setdefault(key, (partition, mine[at].offset, bool(is_late)))
    return found


def places(rows: pa.Table) -> dict[Key, tuple[int, int, bool]]:
    found = {(r["device_id"], r["run"], r["order"]): (r["partition"], r["offset"], r["late"]) for r in rows.to_pylist()}
    assert len(found) == rows.num_rows, "one row at each place"
    return found


@pytest.mark.long
def test_gold_made_in_parts_is_gold_made_whole(
    lake: Lake, twin_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrivals, received = Arrivals(lake.fleet, 1), []

    def gold_killed_before(step: str) -> None:
        with monkeypatch.context() as killing, pytest.raises(KilledError):
            killing.setattr(gold_job, step, kill)
            lake.gold()

    for part in range(5):
        records = arrivals.some(150)
        lake.receive(records)
        received += records
        if part == 2:
            arrivals.silence(600)
            continue  # the next run has two parts to take
        if part == 3:
            gold_killed_before("commit")
        if part in (0, 3):  # gold made whole, and gone on with
            gold_killed_before("keep_state")
        lake.gold()
        assert lake.gold()["added"] == 0, "a retry finds it done"

    made, whole = lake, lake.copy(twin_settings)
    whole.gold()
    assert places(made.rows()) == expected_rows(lake.fleet, received)
    assert made.rows().equals(whole.rows())
    assert made.digest(tmp_path / "made") == whole.digest(tmp_path / "whole")
    came_late = made.rows()["late"].to_pylist()
    refused = read_table(lake.settings, lake.fleet.fleet, "quarantine", ["reason"])["reason"].to_pylist()
    assert 10 < sum(came_late) < refused.count("late"), "some late events are merged, some stay out"


@pytest.mark.long
def test_a_life_without_late_events_begins_anew_where_the_stream_let_it(lake: Lake) -> None:
    arrivals = Arrivals(lake.fleet, 1)
    for seqs in (range(10), range(10, 20)):
        lake.receive([arrivals.event(d, 0, seq) for seq in seqs for d in DEVICES[:4]])
        arrivals.silence(600)
    lake.receive([arrivals.event(d, 1, seq) for seq in range(3) for d in DEVICES[:6]])
    lake.gold()
    served = read_table(lake.settings, lake.fleet.fleet, "silver", ["device_id", "run", "order", "begins"])
    begins = {(r["device_id"], r["run"], r["order"]): r["begins"] for r in served.to_pylist()}
    rows = lake.rows()
    (batch,) = rows.to_batches()
    assert dict(zip(places(rows), lives_of(lake.fleet, batch).begins.tolist(), strict=True)) == begins
    assert sum(begins.values()) == 4 + 4 + 6


@pytest.mark.long
def test_late_events_add_rows_of_their_devices_alone(lake: Lake) -> None:
    arrivals = Arrivals(lake.fleet, 1)
    lake.receive([arrivals.event(d, 0, seq) for seq in (0, 1, 2, 4, 5, 7, 8) for d in DEVICES[:4]])
    lake.gold()
    table = table_path(lake.settings, lake.fleet.fleet, "gold")
    before, files = places(lake.rows()), set(DeltaTable(table).file_uris())

    in_time = arrivals.event("d1", 0, 3)
    lake.receive(
        [
            in_time,
            arrivals.event("d1", 0, 3, heat=7),  # the same place again
            arrivals.event("d2", 0, 6, age_s=500),  # too late
            arrivals.event("d3", 0, 0, heat=9),  # another content where there is a row
        ]
    )
    assert lake.gold()["added"] == 1
    after = places(lake.rows())
    added = {key: row for key, row in after.items() if key not in before}
    assert added == {("d1", 0, 3): (in_time.partition, in_time.offset, True)}
    assert {key: row for key, row in after.items() if key in before} == before
    assert files < set(DeltaTable(table).file_uris()), "no file is written again"


def test_what_the_fleet_file_says_anew_makes_gold_anew(lake: Lake) -> None:
    arrivals = Arrivals(lake.fleet, 1)
    lake.receive(
        [arrivals.event(d, 0, seq) for seq in (0, 1, 3) for d in DEVICES[:2]] + [arrivals.event("d1", 0, 2, age_s=300)]
    )
    assert lake.gold()["rows"] == 6
    lake.fleet = lake.fleet.model_copy(
        update={"limits": lake.fleet.limits.model_copy(update={"lateness_s": 1_000.0, "devices": 5_000})}
    )
    assert lake.gold()["rows"] == 7
    assert lake.gold()["added"] == 0


@pytest.mark.parametrize(("most", "broadcasts"), [(100, 1), (2, 0)], ids=["few", "a mass"])
def test_a_mass_of_late_keys_is_looked_up_without_going_through_the_driver(
    spark: Any, monkeypatch: pytest.MonkeyPatch, most: int, broadcasts: int
) -> None:
    monkeypatch.setattr("spark_jobs.corrected_view.frames._FEW", most)
    schema = "device_id string, run bigint, `order` bigint"
    there = spark.createDataFrame([("a", 0, i) for i in range(0, 20, 2)] + [("b", 0, 9)], schema)
    newest = spark.createDataFrame([("a", 0, 18), ("b", 0, 9)], schema)
    rows = spark.createDataFrame([("a", 0, i) for i in range(10, 25)] + [("b", 0, 3), ("c", 0, 1)], schema)

    found = not_there_yet(rows, newest, there)

    assert {tuple(row) for row in found.collect()} == {
        *(("a", 0, i) for i in (11, 13, 15, 17, *range(19, 25))), ("b", 0, 3), ("c", 0, 1),
    }  # fmt: skip
    assert str(found._jdf.queryExecution().analyzed()).count("strategy=broadcast") == broadcasts
    newer = rows.where("order > 18 OR device_id = 'c'")
    assert not_there_yet(newer, newest, there) is newer, "gold is not looked through for rows that cannot be there"
