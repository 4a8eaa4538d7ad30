"""The gate on real Delta tables with real Great Expectations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import numpy as np
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from aimaas.errors import GateFailedError, LakeError
from aimaas.fleet import FleetSpec, load_fleet
from aimaas.lake import table_path
from aimaas.settings import Settings
from expectations.gate import check_table, nothing_new

FLEETS = Path(__file__).resolve().parents[2] / "fleets"
MILL = load_fleet(FLEETS / "mill.yaml")


def rows(fleet: FleetSpec, first: int, count: int, **replaced: list[Any]) -> pa.Table:
    """Rows of one device in the middle of every range; `replaced` overwrites columns."""
    middle = {n: np.full(count, sum(r.range) / 2) for n, r in zip(fleet.readings, fleet.reading_specs, strict=True)}
    columns: dict[str, Any] = {
        "device_id": ["mill-1"] * count,
        "run": np.zeros(count, np.int64),
        "order": np.arange(first, first + count),
        "ts": [datetime(2026, 11, 23, tzinfo=UTC)] * count,
        "process_temperature": np.full(count, 310.0),
        **{k: v for k, v in middle.items() if k != "process_temperature"},
        **replaced,
    }
    return pa.table(columns)


@pytest.fixture
def write(offline_settings: Settings) -> Callable[[str, pa.Table], None]:
    def append(table: str, content: pa.Table) -> None:
        write_deltalake(table_path(offline_settings, "mill", table), content, mode="append")  # type: ignore[arg-type]

    return append


def quarantined(count: int) -> pa.Table:
    return pa.table({"reason": ["schema"] * count})


def page(uri: str) -> str:
    return Path(urlparse(uri).path).read_text()


def test_good_rows_pass_and_have_a_page_in_data_docs(offline_settings: Settings, write: Callable[..., None]) -> None:
    write("silver", rows(MILL, 0, 50))

    report = check_table(offline_settings, MILL, "silver")

    assert (report.rows, report.refused, report.versions) == (50, 0, {"silver": 0, "quarantine": -1})
    assert report.warnings == ()
    assert "mill_silver" in page(report.docs)


def test_a_reading_out_of_range_fails_and_says_what_was_seen_and_allowed(
    offline_settings: Settings, write: Callable[..., None]
) -> None:
    write("silver", rows(MILL, 0, 4, torque=[10.0, 20.0, 999.0, 30.0]))

    with pytest.raises(GateFailedError) as failed:
        check_table(offline_settings, MILL, "silver")

    head, finding, docs = str(failed.value).splitlines()
    assert head == "mill: gate of silver v0 (4 rows) failed 1 expectation(s)"
    assert finding == (
        "- torque expect_column_values_to_be_between: 1 of 4 rows fail (999.0), expected min_value=0.0, max_value=200.0"
    )
    assert "mill_silver" in page(docs.removeprefix("Data Docs: "))


def test_only_rows_that_are_new_since_the_last_gate_are_judged(
    offline_settings: Settings, write: Callable[..., None]
) -> None:
    write("silver", rows(MILL, 0, 4, torque=[10.0, 20.0, 999.0, 30.0]))
    write("silver", rows(MILL, 4, 6))

    report = check_table(offline_settings, MILL, "silver", since={"silver": 0})

    assert (report.rows, report.versions["silver"]) == (6, 1)


@pytest.mark.parametrize("table", ["silver", "gold"])
def test_after_the_first_gate_an_hour_costs_an_hour_and_a_version_without_rows_passes(
    offline_settings: Settings, write: Callable[..., None], table: Any
) -> None:
    split = {"split": ["train"] * 4}
    write(table, rows(MILL, 0, 4, **split))
    first = check_table(offline_settings, MILL, table)
    write(table, rows(MILL, 4, 4, torque=[10.0, 20.0, 999.0, 30.0], **split))
    with pytest.raises(GateFailedError, match=rf"gate of {table} v1 \(4 rows\) failed 1 expectation"):
        check_table(offline_settings, MILL, table, since=first.versions)
    write(table, rows(MILL, 8, 0, split=[]))  # as a late outcome makes it of gold, and a vacuum of any table

    later = check_table(offline_settings, MILL, table, since={table: 1})

    assert (first.rows, later.rows, later.versions[table], later.warnings) == (4, 0, 2, ())


def test_a_table_without_a_row_does_not_pass_its_first_gate(
    offline_settings: Settings, write: Callable[..., None]
) -> None:
    write("gold", rows(MILL, 0, 0, split=[]))

    with pytest.raises(GateFailedError, match="expect_table_row_count_to_be_between: found 0"):
        check_table(offline_settings, MILL, "gold")


def test_a_version_that_was_vacuumed_away_means_all_rows(
    offline_settings: Settings, write: Callable[..., None]
) -> None:
    write("silver", rows(MILL, 0, 4))

    assert check_table(offline_settings, MILL, "silver", since={"silver": 99}).rows == 4


def test_too_large_a_share_of_refused_rows_fails(offline_settings: Settings, write: Callable[..., None]) -> None:
    write("silver", rows(MILL, 0, 50))
    write("quarantine", quarantined(10))

    with pytest.raises(
        GateFailedError, match=r"refused_share .* 1 of 1 rows fail \(0\.16666\d+\), expected .*max_value=0\.1"
    ):
        check_table(offline_settings, MILL, "silver")


def test_refused_rows_of_earlier_runs_are_not_counted_again(
    offline_settings: Settings, write: Callable[..., None]
) -> None:
    write("silver", rows(MILL, 0, 50))
    write("quarantine", quarantined(10))
    write("quarantine", quarantined(2))

    assert check_table(offline_settings, MILL, "silver", since={"quarantine": 0}).refused == 2


def test_a_failing_warning_does_not_stop_the_run(offline_settings: Settings, write: Callable[..., None]) -> None:
    write("silver", rows(MILL, 0, 10, process_temperature=[251.0] * 10))

    (warning,) = check_table(offline_settings, MILL, "silver").warnings

    assert "pair_values_a_to_be_greater_than_b" in warning.expectation


def test_gold_with_an_impossible_split_and_a_repeated_row_names_both(
    offline_settings: Settings, write: Callable[..., None]
) -> None:
    gold: Mapping[str, list[Any]] = {
        "order": [0, 1, 1],
        "split": ["train", "train", "trian"],
    }
    write("gold", rows(MILL, 0, 3, **gold))

    with pytest.raises(GateFailedError) as failed:
        check_table(offline_settings, MILL, "gold")

    findings = str(failed.value).splitlines()[1:-1]
    assert [f.split()[1] for f in findings] == ["device_id,", "split"]


def test_a_missing_column_is_named(offline_settings: Settings, write: Callable[..., None]) -> None:
    write("silver", rows(MILL, 0, 3).drop_columns(["torque"]))

    with pytest.raises(GateFailedError, match=r'torque expect_column_values_to_not_be_null: .*"torque"'):
        check_table(offline_settings, MILL, "silver")


def test_pages_of_earlier_runs_stay(offline_settings: Settings, write: Callable[..., None]) -> None:
    for first in (0, 10):
        write("silver", rows(MILL, first, 10))
        report = check_table(offline_settings, MILL, "silver")

    pages = sorted(p.name for p in (offline_settings.data_docs / "mill/site/validations/mill_silver").iterdir())
    assert pages == ["v0", "v1"]
    assert page(report.docs).count("mill_silver/v") >= 2


def test_a_table_that_is_missing_is_told_in_one_line(offline_settings: Settings) -> None:
    with pytest.raises(LakeError, match="no such table yet: run the step before this gate"):
        check_table(offline_settings, MILL, "gold")


def test_nothing_is_new_until_the_table_changes(offline_settings: Settings, write: Callable[..., None]) -> None:
    assert nothing_new(offline_settings, MILL, "silver", {})

    write("silver", rows(MILL, 0, 3))

    assert not nothing_new(offline_settings, MILL, "silver", {})
    assert nothing_new(offline_settings, MILL, "silver", {"silver": 0})
