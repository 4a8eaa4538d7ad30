"""Many rows are judged in Spark: with the verdicts, counts and notes of the same rows in this process."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimaas.errors import GateFailedError
from aimaas.lake.audits import newest_audit
from aimaas.lake.quarantine import read_quarantine
from aimaas.settings import Settings
from expectations.gate import check_day, check_table
from expectations.resolve import Resolution, find_failed, set_failing_aside
from expectations.rows.spark_windows import cut_in_spark
from expectations.rows.windows import cut
from expectations.suite import Expected
from expectations.validation import DataDocs
from tests.expectations.test_gate import NOW
from tests.expectations.test_severity import DAY, MILL, silver, write

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SUITE: list[Expected] = [
    ("expect_column_values_to_not_be_null", {"column": "torque", "mostly": 0.9}, "critical"),
    ("expect_column_values_to_be_between", {"column": "torque", "min_value": 20, "max_value": 80}, "critical"),
    ("expect_column_values_to_be_between", {"column": "speed", "min_value": 0, "mostly": 0.5}, "quarantine"),
    ("expect_column_values_to_be_in_set", {"column": "split", "value_set": ["train", "test"]}, "critical"),
    ("expect_column_pair_values_a_to_be_greater_than_b", {"column_A": "speed", "column_B": "torque", "mostly": 0.5}, "quarantine"),
    ("expect_compound_columns_to_be_unique", {"column_list": ["device_id", "order"]}, "critical"),
    ("expect_column_values_to_be_unique", {"column": "order"}, "warning"),
    ("expect_column_mean_to_be_between", {"column": "speed", "min_value": 0, "max_value": 10}, "warning"),
    ("expect_table_row_count_to_be_between", {"min_value": 1}, "critical"),
    ("expect_column_values_to_be_between", {"column": "gone", "min_value": 0}, "critical"),
]  # fmt: skip


@pytest.fixture
def in_spark(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> Callable[[], SparkSession]:
    """What the gate asks for a session, of any rows."""
    monkeypatch.setattr("expectations.rows.slices.FEW_ROWS", 0)
    return lambda: spark


@pytest.fixture(params=["in this process", pytest.param("in Spark", marks=pytest.mark.long)])
def start(request: pytest.FixtureRequest) -> Iterator[Callable[[], SparkSession] | None]:
    """Both ways to judge; of the tests that judge both ways, `make test` has one in Spark."""
    yield request.getfixturevalue("in_spark") if request.param == "in Spark" else None


def noisy(count: int) -> pd.DataFrame:
    """Rows of which some fail each expectation."""
    rng = np.random.default_rng(4)
    torque, speed = rng.normal(50, 20, count), rng.normal(60, 30, count)
    torque[rng.random(count) < 0.05] = np.nan
    split = rng.choice(["train", "test", "trian"], count, p=[0.5, 0.49, 0.01])
    device = rng.choice(["a", "b"], count)
    return pd.DataFrame(
        {"torque": torque, "speed": speed, "split": split, "device_id": device, "order": rng.integers(0, count, count)}
    )


def kept(folder: Path) -> dict[str, dict[str, Any]]:
    """The results that Great Expectations keeps, by expectation and columns."""
    (path,) = (folder / "mill" / "results" / "validations").rglob("*.json")
    found = {}
    for result in json.loads(path.read_text())["results"]:
        config = result["expectation_config"]
        columns = {k: v for k, v in config["kwargs"].items() if k.startswith("column")}
        found[f"{config['type']} {columns}"] = {"success": result["success"], **result["result"]}
    return found


def test_great_expectations_finds_the_same_counts_values_and_verdicts_in_spark(
    spark: SparkSession, tmp_path: Path
) -> None:
    frame, findings, spans = noisy(500), {}, {}
    there = spark.createDataFrame(pa.Table.from_pandas(frame, preserve_index=False))
    for name, rows in (("pandas", frame), ("spark", there)):
        docs = DataDocs(tmp_path / name, "mill")
        findings[name] = docs.validate("counts", SUITE, rows, "v0")
        spans[name] = docs._done[0][1]
    counts = ("success", "element_count", "unexpected_count", "missing_count")
    by_engine = [
        {k: {c: v.get(c) for c in counts} for k, v in kept(tmp_path / name).items()} for name in ("pandas", "spark")
    ]

    assert by_engine[0] == by_engine[1]
    assert sum(bool(v["unexpected_count"]) for v in by_engine[0].values()) == 7
    pandas, found = findings["pandas"], findings["spark"]
    assert sorted(map(str, pandas.to_set_aside)) == sorted(map(str, found.to_set_aside))
    assert sorted(map(str, pandas.failing)) == sorted(map(str, found.failing))
    assert {f.subject for f in pandas.findings} == {f.subject for f in found.findings}
    assert spans["spark"] == {name: spans["pandas"][name] for name in ("torque", "speed", "order")}
    for name, result in kept(tmp_path / "spark").items():
        examples, all_of_them = result.get("partial_unexpected_list", []), kept(tmp_path / "pandas")[name]
        assert len(examples) == len(all_of_them.get("partial_unexpected_list", [])), name


rows_of_devices = st.lists(
    st.tuples(
        st.sampled_from("abc"), st.integers(0, 1), st.integers(0, 40), st.integers(-3, 3), st.one_of(st.none(), st.integers(0, 3)),
        st.booleans(),
    ),
    max_size=60, unique_by=lambda row: row[:3],
)  # fmt: skip


@pytest.mark.parametrize("examples", [3, pytest.param(60, marks=pytest.mark.long)])
def test_spark_cuts_the_same_windows(spark: SparkSession, examples: int) -> None:
    @given(rows_of_devices)
    @settings(max_examples=examples)
    def check(rows: list[tuple[Any, ...]]) -> None:
        new, before = table(rows, True), table(rows, False)
        expected = cut(["torque"], 3, new, before)

        found = cut_in_spark(["torque"], 3, spark.createDataFrame(new), spark.createDataFrame(before), len(rows))

        assert list(_in_order(found)) == list(_in_order(expected))
        assert found.clock_back == pytest.approx(0.0 if np.isnan(expected.clock_back) else expected.clock_back)

    check()


def table(rows: list[tuple[Any, ...]], is_new: bool) -> pa.Table:
    """The rows that are new, or those that were judged before."""
    mine = [row for row in rows if row[5] == is_new]
    ts = [DAY + timedelta(seconds=row[2] + row[3]) for row in mine]
    return pa.table({
        "device_id": pa.array([row[0] for row in mine], pa.string()), "run": pa.array([row[1] for row in mine], pa.int64()),
        "order": pa.array([row[2] for row in mine], pa.int64()), "ts": pa.array(ts, pa.timestamp("us", "UTC")),
        "torque": pa.array([row[4] for row in mine], pa.float64()),
    })  # fmt: skip


def _in_order(windows: Any) -> Iterator[tuple[Any, ...]]:
    figures = np.nan_to_num(np.column_stack([windows.low, windows.high, windows.mean]).round(9), nan=-1.0)
    yield from sorted(zip(windows.device.tolist(), windows.is_new.tolist(), map(tuple, figures.tolist()), strict=True))


def test_of_very_many_rows_whole_devices_are_left_out_but_never_all(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("expectations.rows.spark_windows.MOST_ROWS", 120)
    devices, columns = np.repeat([f"d-{n}" for n in range(40)], 30), np.zeros(1_200)
    rows = pa.table({
        "device_id": devices, "run": columns.astype(np.int64), "order": np.tile(np.arange(30), 40),
        "ts": pa.array([DAY] * 1_200, pa.timestamp("us", "UTC")), "torque": columns,
    })  # fmt: skip

    few = cut_in_spark(["torque"], 30, spark.createDataFrame(rows), None, 1_200)
    one = cut_in_spark(["torque"], 30, spark.createDataFrame(rows.slice(0, 60)), None, 1_000_000)

    assert 1 <= len(few.device) < 20
    assert len(one.device) == 1


def noted(settings: Settings) -> list[tuple[Any, ...]]:
    """What quarantine holds, by offset."""
    return sorted((q.place[2], q.reason, q.key, q.detail) for q in read_quarantine(settings, MILL))


def killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_rows_are_set_aside_with_what_was_observed_and_none_twice(
    strict: Settings, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(strict, silver(MILL, 7))
    with monkeypatch.context() as dying:
        dying.setattr("expectations.gate.record", killed)
        with pytest.raises(KeyboardInterrupt):
            check_table(strict, MILL, "silver", NOW, start)

    report = check_table(strict, MILL, "silver", NOW, start)

    assert report is not None
    assert (report.rows, report.refused, report.set_aside) == (93, 0, 0), "the killed run had noted them"
    seen = "process_temperature is 280, air_temperature is 300"
    detail = f"{seen}: expect_column_pair_values_a_to_be_greater_than_b(process_temperature, air_temperature)"
    assert noted(strict) == [(offset, "expectation", b"mill-1", detail) for offset in range(7)]


@pytest.mark.parametrize("start", ["in this process", "in Spark"], indirect=True)
def test_a_failure_is_told_and_resolved_alike(strict: Settings, start: Any) -> None:
    write(strict, silver(MILL, 11))

    with pytest.raises(GateFailedError) as failed:
        check_table(strict, MILL, "silver", NOW, start)
    audit, moved = set_failing_aside(strict, MILL, find_failed(strict, MILL), Resolution("me", "why", NOW), start)

    head, finding, *_ = str(failed.value).splitlines()
    assert head == "mill: gate of silver v0 (100 rows) failed 1 expectation(s)"
    assert "11 of 100 rows fail" in finding
    assert "280.0" in finding
    assert (audit.verdict, audit.rows, moved) == ("set aside", 100, 11)
    assert len(noted(strict)) == 11
    day = check_day(strict, MILL, DAY.date(), start)
    assert day is not None
    assert day.rows == 89


def test_a_column_that_is_missing_is_named(strict: Settings, start: Any) -> None:
    write(strict, silver(MILL, 0).drop_columns(["torque"]))

    with pytest.raises(GateFailedError, match=r'torque expect_column_values_to_not_be_null: .*"torque"'):
        check_table(strict, MILL, "silver", NOW, start)


def test_a_row_that_fails_several_expectations_is_noted_once(strict: Settings, start: Any) -> None:
    path = strict.fleets / "expectations" / "mill_silver.yaml"
    path.write_text(path.read_text() + "- {type: expect_column_values_to_be_between, kwargs: {column: process_temperature, "
                    "min_value: 300}, severity: quarantine}\n")  # fmt: skip
    write(strict, silver(MILL, 3))

    report = check_table(strict, MILL, "silver", NOW, start)

    assert report is not None
    assert report.set_aside == 3
    between = "process_temperature is 280: expect_column_values_to_be_between(process_temperature)"
    assert [detail.split("; ")[1] for *_, detail in noted(strict)] == [between] * 3


def test_windows_go_on_where_rows_that_were_judged_before_end(strict: Settings, start: Any) -> None:
    def moving(first: int, count: int) -> pa.Table:
        rows = silver(MILL, 0, count, first)
        return rows.set_column(rows.column_names.index("torque"), "torque", pa.array(np.arange(count) % 7 + 20.0))

    write(strict, moving(0, 1_600))
    check_table(strict, MILL, "silver", NOW, start)
    write(strict, silver(MILL, 0, 60, first=1_600))  # torque stands still

    report = check_table(strict, MILL, "silver", NOW, start)

    assert report is not None
    assert any(w.subject == "torque_stuck_share" and "(1.0)" in w.observed for w in report.warnings)
    audit = newest_audit(strict, MILL, "silver")
    assert audit is not None
    assert (audit.verdict, audit.rows, audit.span) == ("passed", 60, "iot.mill.events/1/1600 to 1659")
