"""The gate on real Delta tables with real Great Expectations."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import CommitProperties, DeltaTable, write_deltalake

from aimaas.errors import GateFailedError, LakeError
from aimaas.fleet import FleetSpec, load_fleet
from aimaas.lake import Table, read_table, table_path
from aimaas.lake.audits import Audit, newest_audit, published_gold, published_offsets
from aimaas.settings import Settings
from expectations.gate import GateReport, check_table
from expectations.resolve import Resolution, acknowledge, set_failing_aside
from expectations.rows.new_rows import rows_in
from expectations.rows.parts import Part
from tests.conftest import FLEETS
from upkeep.maintenance.maintain import maintain

MILL = load_fleet(FLEETS / "mill.yaml")
NOW = datetime(2026, 11, 24, tzinfo=UTC)


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


def admitted(settings: Settings, content: pa.Table) -> None:
    """Say that admission came so far, as its state does."""
    if not content.num_rows:
        return
    path = table_path(settings, "mill", "admission_state")
    before = pa.table(DeltaTable(path).to_pyarrow_table()) if DeltaTable.is_deltatable(path) else None
    places = content.select(["topic", "partition", "offset"])
    every = (
        places if before is None else pa.concat_tables([before.select(places.column_names).cast(places.schema), places])
    )
    newest = every.group_by(["topic", "partition"]).aggregate([("offset", "max")]).rename_columns(places.column_names)
    write_deltalake(path, newest, mode="overwrite", partition_by=["topic", "partition"])


def check(settings: Settings, table: Any = "silver", fleet: FleetSpec = MILL) -> GateReport:
    """Judge what is new, which there is."""
    report = check_table(settings, fleet, table, NOW)
    assert report is not None
    return report


def audits(settings: Settings) -> list[Audit]:
    """The verdicts in their order."""
    rows = read_table(settings, "mill", "audits").sort_by("number").to_pylist()
    return [msgspec.convert(row | {"failures": msgspec.json.decode(row["failures"])}, Audit) for row in rows]


@pytest.fixture
def write(offline_settings: Settings) -> Callable[[Table, pa.Table], None]:
    end = outcomes = 0

    def append(table: Table, content: pa.Table) -> None:
        path = table_path(offline_settings, "mill", table)
        if table != "gold":
            write_deltalake(path, content, mode="append", partition_by=["topic", "partition"])
            admitted(offline_settings, content)
            return
        nonlocal end, outcomes
        outcomes += 1
        end = max(end, pc.max(content["offset"]).as_py() + 1 if content.num_rows else 0)
        note = {"admitted": json.dumps({"iot.mill.events": {"0": end}}), "outcomes": outcomes, "aside": 0}
        noted = CommitProperties(custom_metadata={"userMetadata": f"mark {json.dumps(note)}"})
        write_deltalake(path, content, mode="append", commit_properties=noted)

    return append


def quarantined(count: int, first: int = 0) -> pa.Table:
    places = {"topic": ["iot.mill.events"] * count, "partition": pa.array([1] * count, pa.int32())}
    return pa.table({**places, "offset": np.arange(first, first + count), "reason": ["schema"] * count})


def page(uri: str) -> str:
    return Path(urlparse(uri).path).read_text()


def test_good_rows_pass_and_have_a_page_in_data_docs(offline_settings: Settings, write: Callable[..., None]) -> None:
    write("silver", rows(MILL, 0, 50))

    report = check(offline_settings)

    assert (report.rows, report.refused, report.versions) == (50, 0, {"silver": 0, "quarantine": -1})
    assert report.warnings == ()
    assert "mill_silver" in page(report.docs)


def test_a_reading_out_of_range_fails_and_says_what_was_seen_and_allowed(
    offline_settings: Settings, write: Callable[..., None]
) -> None:
    write("silver", rows(MILL, 0, 4, torque=[10.0, 20.0, 999.0, 30.0]))

    with pytest.raises(GateFailedError) as failed:
        check(offline_settings)

    head, finding, docs, next_step = str(failed.value).splitlines()
    assert head == "mill: gate of silver v0 (4 rows) failed 1 expectation(s)"
    assert finding == (
        "- torque expect_column_values_to_be_between: 1 of 4 rows fail (999.0), expected min_value=0.0, max_value=200.0"
    )
    assert "mill_silver" in page(docs.removeprefix("Data Docs: "))
    assert next_step.endswith("`aimaas gate show --fleet mill`")


def test_what_failed_is_judged_again_as_it_was_and_later_clean_rows_do_not_dilute_it(
    offline_settings: Settings, write: Callable[..., None]
) -> None:
    write("silver", rows(MILL, 0, 100))
    write("quarantine", quarantined(20))
    for refused in range(2):
        with pytest.raises(GateFailedError, match=r"silver v0 \(100 rows\) .*\n- refused_share .* \(0\.1666\d+\)"):
            check(offline_settings)
        write("silver", rows(MILL, 100 + 1_000 * refused, 1_000))

    failed = newest_audit(offline_settings, MILL, "silver")

    assert failed is not None
    assert (failed.number, failed.verdict, failed.rows, failed.refused) == (1, "failed", 100, 20), (
        "one verdict, one record"
    )
    assert failed.span == "iot.mill.events/0/0 to 99, iot.mill.events/1/0 to 19"
    assert published_offsets(offline_settings, MILL) == {}
    acknowledge(offline_settings, MILL, failed, Resolution("me", "a known test bench", NOW))
    assert published_offsets(offline_settings, MILL) == {("iot.mill.events", 0): 100, ("iot.mill.events", 1): 20}
    assert check(offline_settings).rows == 2_000
    assert published_offsets(offline_settings, MILL)["iot.mill.events", 0] == 2_100


def test_what_failed_passes_once_the_fleet_file_allows_it_and_what_came_since_is_judged_by_itself(
    offline_settings: Settings, write: Callable[..., None]
) -> None:
    write("silver", rows(MILL, 0, 100))
    write("quarantine", quarantined(20))
    with pytest.raises(GateFailedError):
        check(offline_settings)
    write("silver", rows(MILL, 100, 60))
    quality = MILL.quality.model_copy(update={"refused_share": 0.2})

    report = check(offline_settings, fleet=MILL.model_copy(update={"quality": quality}))

    assert (report.rows, report.refused) == (60, 0)
    found = [a.verdict for a in audits(offline_settings)]
    assert found == ["failed", "passed", "passed"]


def test_a_few_refused_records_stop_nothing_and_count_with_the_next_until_they_are_enough(
    offline_settings: Settings, write: Callable[..., None]
) -> None:
    for hour in range(3):
        write("silver", rows(MILL, 10 * hour, 10))
        write("quarantine", quarantined(5, first=5 * hour))
        (warning,) = check(offline_settings).warnings
        assert "refused_share" in warning.subject
    write("silver", rows(MILL, 30, 10))

    with pytest.raises(GateFailedError, match=r"refused_share .* \(0\.2727\d+\)"):  # 15 of 55
        check(offline_settings)


@pytest.mark.parametrize("table", ["silver", "gold"])
def test_after_the_first_gate_an_hour_costs_an_hour_and_a_version_without_rows_passes(
    offline_settings: Settings, write: Callable[..., None], table: Any
) -> None:
    split = {"split": ["train"] * 4}
    write(table, rows(MILL, 0, 4, **split))
    first = check(offline_settings, table)
    write(table, rows(MILL, 4, 4, torque=[10.0, 20.0, 999.0, 30.0], **split))
    with pytest.raises(GateFailedError, match=rf"gate of {table} v1 \(4 rows\) failed 1 expectation"):
        check(offline_settings, table)
    failed = newest_audit(offline_settings, MILL, table)
    assert failed is not None
    acknowledge(offline_settings, MILL, failed, Resolution("me", "it was so", NOW))
    write(table, rows(MILL, 8, 0, split=[]))  # as a late outcome makes it of gold, and a vacuum of any table

    later = check_table(offline_settings, MILL, table, NOW)

    assert (first.rows, later is None or later.rows) == (4, True if table == "silver" else 0)


def test_a_table_without_a_row_does_not_pass_its_first_gate(
    offline_settings: Settings, write: Callable[..., None]
) -> None:
    write("gold", rows(MILL, 0, 0, split=[]))

    with pytest.raises(GateFailedError, match="expect_table_row_count_to_be_between: found 0"):
        check(offline_settings, "gold")


def test_a_table_that_was_made_anew_is_judged_as_a_whole(
    offline_settings: Settings, write: Callable[..., None]
) -> None:
    write("silver", rows(MILL, 0, 4))
    assert check(offline_settings).rows == 4
    shutil.rmtree(table_path(offline_settings, "mill", "silver"))
    write("silver", rows(MILL, 0, 4))

    assert published_offsets(offline_settings, MILL) == {}
    assert check(offline_settings).rows == 4


def test_where_audits_and_golds_note_are_lost_only_what_is_not_in_gold_is_judged(
    offline_settings: Settings, write: Callable[..., None]
) -> None:
    write("silver", rows(MILL, 0, 6))
    in_gold = rows(MILL, 0, 4, split=["train"] * 4)
    write_deltalake(table_path(offline_settings, "mill", "gold"), in_gold, mode="append")

    assert check(offline_settings).rows == 2


def test_too_large_a_share_of_refused_rows_fails(offline_settings: Settings, write: Callable[..., None]) -> None:
    write("silver", rows(MILL, 0, 50))
    write("quarantine", quarantined(10))

    with pytest.raises(
        GateFailedError, match=r"refused_share .* 1 of 1 rows fail \(0\.16666\d+\), expected .*max_value=0\.1"
    ):
        check(offline_settings)


def test_refused_rows_of_earlier_runs_are_not_counted_again(
    offline_settings: Settings, write: Callable[..., None]
) -> None:
    write("silver", rows(MILL, 0, 100))
    write("quarantine", quarantined(10))
    assert check(offline_settings).refused == 10
    write("quarantine", quarantined(2, first=10))

    assert check(offline_settings).refused == 2


def test_compaction_brings_no_judged_row_back_and_hides_no_new_one(
    offline_settings: Settings, write: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "upkeep.maintenance.maintain.TARGET_BYTES", 20_000
    )  # silver's files are large enough, quarantine's are not
    for night in range(4):
        write("silver", rows(MILL, 2_000 * night, 1_000))
        write("silver", rows(MILL, 2_000 * night + 1_000, 960))
        write("quarantine", quarantined(40, first=40 * night))

        report = check(offline_settings)

        assert (report.rows, report.refused, report.quarantine_share) == (1_960, 40, 0.02)
        maintain(offline_settings, MILL, datetime(2026, 11, 25, tzinfo=UTC))
    write("silver", rows(MILL, 8_000, 3, torque=[10.0, 999.0, 20.0]))
    maintain(offline_settings, MILL, datetime(2026, 11, 25, tzinfo=UTC))

    with pytest.raises(GateFailedError, match=r"3 rows\) failed 1 expectation"):
        check(offline_settings)


def test_rows_before_are_found_after_a_compaction(offline_settings: Settings, write: Callable[..., None]) -> None:
    for first in (0, 10, 20):
        write("silver", rows(MILL, first, 10))
    maintain(offline_settings, MILL, datetime(2026, 11, 25, tzinfo=UTC))

    part = Part({("iot.mill.events", 0): 20}).before(12)

    assert part is not None
    found = rows_in(offline_settings, MILL, "silver", part, ["order"])
    assert sorted(found["order"].to_pylist()) == list(range(8, 20))


def test_a_range_that_was_narrowed_holds_for_what_gold_receives_from_then_on(
    offline_settings: Settings, write: Callable[..., None]
) -> None:
    write("gold", rows(MILL, 0, 4, torque=[10.0, 20.0, 90.0, 30.0], split=["train"] * 4))
    check(offline_settings, "gold")
    torque = MILL.sensors["torque"].model_copy(update={"range": (0.0, 50.0)})
    narrowed = MILL.model_copy(update={"sensors": {**MILL.sensors, "torque": torque}})
    DeltaTable(table_path(offline_settings, "mill", "gold")).delete()  # as the gold job: written whole
    write("gold", rows(MILL, 0, 6, torque=[10.0, 20.0, 90.0, 30.0, 40.0, 45.0], split=["train"] * 6))

    after = check(offline_settings, "gold", narrowed)

    assert after.rows == 2
    write("gold", rows(MILL, 6, 1, torque=[90.0], split=["train"]))
    with pytest.raises(GateFailedError, match=r"torque expect_column_values_to_be_between: 1 of 1 rows fail"):
        check(offline_settings, "gold", narrowed)


def test_a_failing_warning_does_not_stop_the_run(offline_settings: Settings, write: Callable[..., None]) -> None:
    write("silver", rows(MILL, 0, 10, process_temperature=[251.0] * 10))

    (warning,) = check(offline_settings).warnings

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
        check(offline_settings, "gold")

    findings = str(failed.value).splitlines()[1:-2]
    assert [f.split()[1] for f in findings] == ["device_id,", "split"]


def test_a_missing_column_is_named(offline_settings: Settings, write: Callable[..., None]) -> None:
    write("silver", rows(MILL, 0, 3).drop_columns(["torque"]))

    with pytest.raises(GateFailedError, match=r'torque expect_column_values_to_not_be_null: .*"torque"'):
        check(offline_settings)


def test_pages_of_earlier_runs_stay(offline_settings: Settings, write: Callable[..., None]) -> None:
    for first in (0, 10):
        write("silver", rows(MILL, first, 10))
        report = check(offline_settings)

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
    check(offline_settings)
    first = pages()
    write("silver", rows(MILL, 10, 10))

    index = page(check(offline_settings).docs)

    now = pages()
    assert {path: now[path] for path in first} == first
    assert sorted(p.relative_to(site).parts[:2] for p in now.keys() - first.keys()) == [
        ("mill_silver", "v1"),
        ("mill_silver_run", "v1"),
    ]
    assert all(str(path.relative_to(site)) in index for path in now)


def test_a_table_that_is_missing_is_told_in_one_line(offline_settings: Settings) -> None:
    with pytest.raises(LakeError, match="no such table yet: run the step before this gate"):
        check(offline_settings, "gold")


def test_nothing_is_new_until_rows_come(offline_settings: Settings, write: Callable[..., None]) -> None:
    write("silver", rows(MILL, 0, 3))
    assert check(offline_settings).rows == 3

    assert check_table(offline_settings, MILL, "silver", NOW) is None
    write("silver", rows(MILL, 3, 2))
    assert check(offline_settings).rows == 2


def test_gold_is_not_published_while_it_holds_rows_that_were_set_aside(
    offline_settings: Settings, write: Callable[..., None]
) -> None:
    bad: dict[str, list[Any]] = {"torque": [10.0, 999.0, 20.0], "split": ["train"] * 3, "broker_ts": [NOW] * 3}
    write("gold", rows(MILL, 0, 3, **bad))
    with pytest.raises(GateFailedError, match="torque"):
        check(offline_settings, "gold")
    failed = newest_audit(offline_settings, MILL, "gold")
    assert failed is not None
    audit, moved = set_failing_aside(offline_settings, MILL, failed, Resolution("me", "a broken gauge", NOW))
    assert (audit.verdict, moved) == ("set aside", 1)

    assert check_table(offline_settings, MILL, "gold", NOW) is None, "gold is still as it was"
    assert published_gold(offline_settings, MILL, 0) is None
    write(
        "gold", rows(MILL, 3, 1, **{name: values[:1] for name, values in bad.items()})
    )  # by a job that had not seen it
    with pytest.raises(
        LakeError, match="leaves out 0 rows that were set aside, but 1 rows are set aside now: run the gold job"
    ):
        check(offline_settings, "gold")
