"""The gate on real Delta tables with real Great Expectations."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import CommitProperties, DeltaTable, write_deltalake

from aimaas.errors import GateFailedError, LakeError
from aimaas.fleet import FleetSpec, load_fleet
from aimaas.lake import table_path
from aimaas.settings import Settings
from expectations.gate import check_table, nothing_new
from expectations.new_rows import rows_before
from upkeep.maintain import maintain

FLEETS = Path(__file__).resolve().parents[2] / "fleets"
MILL = load_fleet(FLEETS / "mill.yaml")


def rows(fleet: FleetSpec, first: int, count: int, **replaced: list[Any]) -> pa.Table:
    """Rows of one device in the middle of every range; `replaced` overwrites columns."""
    middle = {n: np.full(count, sum(r.range) / 2) for n, r in zip(fleet.readings, fleet.reading_specs, strict=True)}
    columns: dict[str, Any] = {
        "topic": ["iot.mill.events"] * count,
        "partition": pa.array([0] * count, pa.int32()),
        "offset": np.arange(first, first + count),
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
        path = table_path(offline_settings, "mill", table)  # type: ignore[arg-type]
        if table != "gold":
            write_deltalake(path, content, mode="append", partition_by=["topic", "partition"])
            return
        nonlocal end
        end = max(end, pc.max(content["offset"]).as_py() + 1 if content.num_rows else 0)
        note = {"admitted": json.dumps({"iot.mill.events": {"0": end}})}
        noted = CommitProperties(custom_metadata={"userMetadata": f"mark {json.dumps(note)}"})
        write_deltalake(path, content, mode="append", commit_properties=noted)

    end = 0
    return append


def quarantined(count: int, first: int = 0) -> pa.Table:
    places = {"topic": ["iot.mill.events"] * count, "partition": pa.array([1] * count, pa.int32())}
    return pa.table({**places, "offset": np.arange(first, first + count), "reason": ["schema"] * count})


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
    write("quarantine", quarantined(2, first=10))

    assert check_table(offline_settings, MILL, "silver", since={"quarantine": 0}).refused == 2


def test_compaction_brings_no_judged_row_back_and_hides_no_new_one(
    offline_settings: Settings, write: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("upkeep.maintain.TARGET_BYTES", 20_000)  # silver's files are large enough, quarantine's are not
    since: Mapping[str, int] = {}
    for night in range(4):
        write("silver", rows(MILL, 2_000 * night, 1_000))
        write("silver", rows(MILL, 2_000 * night + 1_000, 960))
        write("quarantine", quarantined(40, first=40 * night))

        report = check_table(offline_settings, MILL, "silver", since)

        assert (report.rows, report.refused, report.quarantine_share) == (1_960, 40, 0.02)
        since = report.versions
        maintain(offline_settings, MILL, datetime(2026, 11, 25, tzinfo=UTC))
    write("silver", rows(MILL, 8_000, 3, torque=[10.0, 999.0, 20.0]))
    maintain(offline_settings, MILL, datetime(2026, 11, 25, tzinfo=UTC))

    with pytest.raises(GateFailedError, match=r"3 rows\) failed 1 expectation"):
        check_table(offline_settings, MILL, "silver", since)


def test_rows_before_are_found_after_a_compaction(offline_settings: Settings, write: Callable[..., None]) -> None:
    for first in (0, 10, 20):
        write("silver", rows(MILL, first, 10))
    maintain(offline_settings, MILL, datetime(2026, 11, 25, tzinfo=UTC))

    found = rows_before(offline_settings, MILL, "silver", 1, ["order"], most=12)

    assert found is not None
    assert sorted(found["order"].to_pylist()) == list(range(8, 20))


def test_a_range_that_was_narrowed_holds_for_what_gold_receives_from_then_on(
    offline_settings: Settings, write: Callable[..., None]
) -> None:
    write("gold", rows(MILL, 0, 4, torque=[10.0, 20.0, 90.0, 30.0], split=["train"] * 4))
    judged = check_table(offline_settings, MILL, "gold").versions
    torque = MILL.sensors["torque"].model_copy(update={"range": (0.0, 50.0)})
    narrowed = MILL.model_copy(update={"sensors": {**MILL.sensors, "torque": torque}})
    DeltaTable(table_path(offline_settings, "mill", "gold")).delete()  # as the gold job: written whole
    write("gold", rows(MILL, 0, 6, torque=[10.0, 20.0, 90.0, 30.0, 40.0, 45.0], split=["train"] * 6))

    after = check_table(offline_settings, narrowed, "gold", judged)

    assert after.rows == 2
    write("gold", rows(MILL, 6, 1, torque=[90.0], split=["train"]))
    with pytest.raises(GateFailedError, match=r"torque expect_column_values_to_be_between: 1 of 1 rows fail"):
        check_table(offline_settings, narrowed, "gold", after.versions)


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


def test_a_gate_writes_its_own_pages_and_leaves_those_of_earlier_runs_alone(
    offline_settings: Settings, write: Callable[..., None]
) -> None:
    site = offline_settings.data_docs / "mill/site/validations"

    def pages() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in site.rglob("*.html")}

    write("silver", rows(MILL, 0, 10))
    since = check_table(offline_settings, MILL, "silver").versions
    first = pages()
    write("silver", rows(MILL, 10, 10))

    index = page(check_table(offline_settings, MILL, "silver", since).docs)

    now = pages()
    assert {path: now[path] for path in first} == first
    assert sorted(p.relative_to(site).parts[:2] for p in now.keys() - first.keys()) == [
        ("mill_silver", "v1"),
        ("mill_silver_run", "v1"),
    ]
    assert all(str(path.relative_to(site)) in index for path in now)


def test_a_table_that_is_missing_is_told_in_one_line(offline_settings: Settings) -> None:
    with pytest.raises(LakeError, match="no such table yet: run the step before this gate"):
        check_table(offline_settings, MILL, "gold")


def test_nothing_is_new_until_the_table_changes(offline_settings: Settings, write: Callable[..., None]) -> None:
    assert nothing_new(offline_settings, MILL, "silver", {})

    write("silver", rows(MILL, 0, 3))

    assert not nothing_new(offline_settings, MILL, "silver", {})
    assert nothing_new(offline_settings, MILL, "silver", {"silver": 0})
