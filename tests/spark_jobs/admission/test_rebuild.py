"""A day rebuilt is the day as it was: over lost, doubled and untouched rows, and never otherwise without being asked."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from deltalake import DeltaTable

from aimaas.errors import GateFailedError, LakeError
from aimaas.fleet import Split
from aimaas.lake import Table, append_rows, read_table, table_path, table_version
from aimaas.lake.rebuilt_days import held_days
from aimaas.settings import Settings, read_settings
from expectations.gate import check_day
from expectations.resolve import Resolution, acknowledge_day
from spark_jobs import admit as admit_job
from spark_jobs import gold as gold_job
from spark_jobs import rebuild as rebuild_job
from spark_jobs.commits import commit
from spark_jobs.rebuild import rebuild
from spark_jobs.sources import gold_is_behind
from tests.published import publish
from tests.spark_jobs.arrivals import BEGAN, Arrivals
from tests.spark_jobs.conftest import small_fleet
from tests.spark_jobs.corrected_view.test_corrected import LIMITS, KilledError, Lake

pytestmark = [pytest.mark.spark, pytest.mark.timeout(1_200)]

TABLES: tuple[Table, ...] = ("silver", "outcomes", "quarantine", "gold")
DAYS = [BEGAN.date() + timedelta(days=i) for i in range(3)]
IN_ORDER = [("topic", "ascending"), ("partition", "ascending"), ("offset", "ascending")]


@pytest.fixture(scope="module")
def lake(spark: Any, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Three days, the second admitted in two runs; devices live on from day to day, so order keys carry over."""
    settings = read_settings({"AIMAAS_HOME": str(tmp_path_factory.mktemp("home"))})
    made = Lake(spark, settings, small_fleet(limits=LIMITS | {"silence_s": 200_000}, topics={"partitions": 2}))
    arrivals = Arrivals(made.fleet, seed=5)
    for seconds in (86_400, 40_000, 46_400, 0):
        made.receive(arrivals.some(60))
        arrivals.silence(seconds)
    made.gold()
    return made


def tables(lake: Lake) -> dict[str, Any]:
    found = {t: read_table(lake.settings, lake.fleet.fleet, t) for t in TABLES}
    columns = {t: sorted(rows.column_names) for t, rows in found.items()}
    return {t: rows.sort_by(IN_ORDER).select(columns[t]).combine_chunks() for t, rows in found.items()}


def versions(lake: Lake) -> list[int | None]:
    return [table_version(lake.settings, lake.fleet.fleet, t) for t in TABLES]


def of_day(lake: Lake, day: date, rejudge: bool = False) -> dict[str, Any]:
    return rebuild(lake.job("rebuild", day=day, rejudge=rejudge))


def test_any_day_is_rebuilt_to_equal_tables_whatever_was_lost_or_doubled_and_a_second_time_writes_nothing(
    lake: Lake,
) -> None:
    before, untouched = tables(lake), versions(lake)
    assert min(len({str(d) for d in before[t]["day"].to_pylist()}) for t in ("silver", "quarantine")) == 3

    assert of_day(lake, DAYS[1])["replaced"] == []
    assert versions(lake) == untouched, "nothing differed, nothing was written"
    assert not gold_is_behind(lake.settings, lake.fleet)

    silver = DeltaTable(table_path(lake.settings, lake.fleet.fleet, "silver"))
    quarantine = DeltaTable(table_path(lake.settings, lake.fleet.fleet, "quarantine"))
    doubled = before["silver"].slice(0, 7)
    append_rows(lake.settings, lake.fleet.fleet, "silver", doubled.select(lake_columns(silver)))
    silver.update_incremental()
    silver.delete(f"day = DATE '{DAYS[1]}' AND partition = 1")
    quarantine.delete(f"day = DATE '{DAYS[1]}'")

    reports = [of_day(lake, day) for day in DAYS]

    assert [r["replaced"] for r in reports] == [["silver"], ["silver", "quarantine"], []]
    assert reports[0]["silver"] == {"missing": 0, "doubled": 7, "other": 0}
    held = held_days(lake.settings, lake.fleet)
    assert [(day.made_of, day.verdict) for day in held] == [(str(day), "rebuilt") for day in DAYS[:2]]
    assert not gold_is_behind(lake.settings, lake.fleet), "no gate has judged these days"
    publish(lake.job("gold"), "silver")
    assert gold_is_behind(lake.settings, lake.fleet)
    lake.gold()
    assert not gold_is_behind(lake.settings, lake.fleet)
    assert tables(lake) == before
    settled = versions(lake)
    assert of_day(lake, DAYS[1])["replaced"] == []
    assert versions(lake) == settled


@pytest.fixture
def small_lake(spark: Any, offline_settings: Settings) -> Lake:
    told = {"limits": LIMITS, "topics": {"partitions": 2}, "quality": {"refused_share": 1}}  # many arrivals are refused
    return Lake(spark, offline_settings, small_fleet(**told))


def strict(lake: Lake, folder: Path) -> Settings:
    """Settings with a suite that no row meets."""
    suite = folder / "fleets" / "expectations" / f"{lake.fleet.fleet}_silver.yaml"
    suite.parent.mkdir(parents=True)
    kwargs = {"column": "heat", "max_value": -1, "mostly": 0.9}
    suite.write_text(yaml.safe_dump([{"type": "expect_column_values_to_be_between", "kwargs": kwargs}]))
    return replace(lake.settings, fleets=folder / "fleets")


@pytest.mark.long
def test_a_rebuilt_day_that_fails_its_gate_stays_out_of_gold_until_a_person_takes_it(
    small_lake: Lake, tmp_path: Path
) -> None:
    lake, arrivals, day = small_lake, Arrivals(small_lake.fleet, seed=8), DAYS[0]

    def early(table: Table) -> set[int]:
        found = read_table(lake.settings, lake.fleet.fleet, table, ["partition", "offset"]).to_pylist()
        return {row["offset"] for row in found if row["partition"] == 1 and row["offset"] < 20}

    lake.receive(arrivals.some(60))
    lost = early("silver")
    DeltaTable(table_path(lake.settings, lake.fleet.fleet, "silver")).delete("partition = 1 AND offset < 20")
    lake.gold()
    assert lost and not early("gold") & lost
    assert of_day(lake, day)["silver"]["missing"] == len(lost)

    with pytest.raises(GateFailedError, match="gold keeps the day as it was"):
        check_day(strict(lake, tmp_path), lake.fleet, day, datetime.now(UTC))

    ((failed,), rows) = held_days(lake.settings, lake.fleet), lake.gold()["rows"]
    assert (failed.verdict, [f.subject for f in failed.failures]) == ("failed", ["heat"])
    lake.receive(arrivals.some(60))
    assert lake.gold()["rows"] > rows, "what came later goes on"
    assert not early("gold") & lost
    other = replace(lake.job("gold"), fleet=lake.fleet.model_copy(update={"split": Split(train=0.5, test=0.35)}))
    with pytest.raises(LakeError, match=f"held back: {day} .failed its gate"):
        gold_job.gold(other)

    acknowledge_day(lake.settings, lake.fleet, day, Resolution("ada", "the sensor was replaced", datetime.now(UTC)))

    assert held_days(lake.settings, lake.fleet) == []
    assert gold_is_behind(lake.settings, lake.fleet)
    lake.gold()
    assert early("gold") >= lost
    with pytest.raises(LakeError, match="not held back"):
        acknowledge_day(lake.settings, lake.fleet, day, Resolution("ada", "again", datetime.now(UTC)))


def test_a_rebuilt_day_that_meets_its_suite_is_taken_up(small_lake: Lake) -> None:
    lake, arrivals = small_lake, Arrivals(small_lake.fleet, seed=9)
    lake.receive(arrivals.some(60))
    lake.gold()
    silver = DeltaTable(table_path(lake.settings, lake.fleet.fleet, "silver"))
    silver.delete("partition = 0 AND offset < 20")
    of_day(lake, DAYS[0])
    assert not gold_is_behind(lake.settings, lake.fleet)

    assert check_day(lake.settings, lake.fleet, DAYS[0], datetime.now(UTC)) is not None

    assert (held_days(lake.settings, lake.fleet), gold_is_behind(lake.settings, lake.fleet)) == ([], True)


@pytest.mark.long
def test_rows_that_are_admitted_while_a_day_is_rebuilt_stay_and_count_as_no_difference(
    small_lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, arrivals = small_lake, Arrivals(small_lake.fleet, seed=6)
    lake.receive(arrivals.some(60))
    meanwhile = [arrivals.some(60), arrivals.some(60)]
    silver = DeltaTable(table_path(lake.settings, lake.fleet.fleet, "silver"))
    judge_day = rebuild_job.judge_day

    def admitting(*arguments: Any) -> Any:
        judged = judge_day(*arguments)
        lake.receive(meanwhile.pop(0))
        return judged

    monkeypatch.setattr(rebuild_job, "judge_day", admitting)

    assert of_day(lake, DAYS[0])["replaced"] == []

    silver.update_incremental()
    damaged = silver.to_pyarrow_table().num_rows
    silver.delete("partition = 1 AND offset < 20")
    lost = damaged - silver.to_pyarrow_table().num_rows
    assert of_day(lake, DAYS[0])["silver"] == {"missing": lost, "doubled": 0, "other": 0}
    monkeypatch.undo()
    assert of_day(lake, DAYS[0])["replaced"] == []


@pytest.mark.long
def test_a_day_of_which_admission_was_killed_on_the_way_is_rebuilt_as_far_as_it_is_done(
    small_lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, arrivals = small_lake, Arrivals(small_lake.fleet, seed=7)
    lake.receive(arrivals.some(60))

    def killed(settings: Settings, fleet: Any, table: Table, *rest: Any) -> None:
        if table == "admission_state":
            raise KilledError
        commit(settings, fleet, table, *rest)

    monkeypatch.setattr(admit_job, "commit", killed)
    with pytest.raises(KilledError):
        lake.receive(arrivals.some(60))
    monkeypatch.undo()
    before = read_table(lake.settings, lake.fleet.fleet, "silver").num_rows

    assert of_day(lake, DAYS[0], rejudge=True)["replaced"] == []

    assert read_table(lake.settings, lake.fleet.fleet, "silver").num_rows == before
    lake.receive([])
    assert of_day(lake, DAYS[0])["replaced"] == []


def lake_columns(table: DeltaTable) -> list[str]:
    return [field.name for field in table.schema().fields]


@pytest.mark.long
def test_a_day_is_judged_by_the_rules_of_then_until_the_present_ones_are_asked_for(lake: Lake) -> None:
    before = tables(lake)
    narrower = lake.fleet.model_copy(
        update={
            "sensors": lake.fleet.sensors | {"heat": lake.fleet.sensors["heat"].model_copy(update={"range": (0, 700)})}
        }
    )
    now = Lake(lake.spark, lake.settings, narrower, lake.journal)
    without_journal = Lake(lake.spark, lake.settings, narrower)

    assert of_day(now, DAYS[1])["replaced"] == []
    with pytest.raises(LakeError, match=r"rows would come out otherwise.*of silver.*--rejudge"):
        of_day(without_journal, DAYS[1])
    assert tables(lake) == before

    assert "silver" in of_day(now, DAYS[1], rejudge=True)["replaced"]

    after = tables(lake)
    for day in (DAYS[0], DAYS[2]):
        kept = [
            rows.filter([d == day for d in rows["day"].to_pylist()]) for rows in (before["silver"], after["silver"])
        ]
        assert kept[0] == kept[1], "the other days stay as they were"
    assert after["silver"].num_rows < before["silver"].num_rows
    assert after["silver"].num_rows + after["quarantine"].num_rows == (
        before["silver"].num_rows + before["quarantine"].num_rows
    )
    for again in (now, lake):
        assert [of_day(again, day)["replaced"] for day in DAYS] == [[], [], []], "what was asked for is remembered"
