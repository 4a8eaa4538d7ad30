"""What becomes of rows that fail: a warning, quarantine, or the end of the run."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from aimaas.errors import FleetFileError, GateFailedError, LakeError
from aimaas.fleet import FleetSpec, load_fleet
from aimaas.lake import read_table, table_path, table_version
from aimaas.lake.audits import published_offsets
from aimaas.lake.quarantine import read_quarantine
from aimaas.settings import Settings
from expectations.gate import check_day
from expectations.resolve import Resolution, acknowledge, find_failed, set_failing_aside
from expectations.suite import hand_written
from tests.conftest import FLEETS
from tests.expectations.test_gate import NOW, admitted, check

MILL = load_fleet(FLEETS / "mill.yaml")
DAY = datetime(2026, 11, 23, tzinfo=UTC)
WARMER = "expect_column_pair_values_a_to_be_greater_than_b"


def silver(fleet: FleetSpec, colder: int, count: int = 100, first: int = 0) -> pa.Table:
    """Rows of one device, the first `colder` of them with a workpiece colder than the air."""
    heat = np.random.default_rng(1).uniform(310, 320, count)
    heat[:colder] = 280.0
    values = {n: np.full(count, sum(r.range) / 2) for n, r in zip(fleet.readings, fleet.reading_specs, strict=True)}
    return pa.table(
        {
            "topic": ["iot.mill.events"] * count,
            "partition": pa.array([1] * count, pa.int32()),
            "offset": np.arange(first, first + count),
            "broker_ts": pa.array([DAY] * count, pa.timestamp("us", "UTC")),
            "device_id": ["mill-1"] * count,
            "run": np.zeros(count, np.int64),
            "order": np.arange(first, first + count),
            "ts": pa.array([DAY] * count, pa.timestamp("us", "UTC")),
            **values,
            "process_temperature": heat,
            "day": [DAY.date()] * count,
        }
    )


def write(settings: Settings, rows: pa.Table) -> None:
    write_deltalake(table_path(settings, "mill", "silver"), rows, mode="append", partition_by=["topic", "partition"])
    admitted(settings, rows)


def kill(*_: object) -> None:
    raise KeyboardInterrupt


def test_rows_that_fail_within_the_limit_are_noted_in_quarantine_once_with_what_was_observed(
    strict: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(strict, silver(MILL, 7))

    monkeypatch.setattr("expectations.gate.record", kill)
    for _ in range(2):  # killed after the rows were noted
        with pytest.raises(KeyboardInterrupt):
            check(strict)
    monkeypatch.undo()
    report = check(strict)

    assert (report.rows, report.refused) == (93, 0), "they were admitted"
    noted = read_quarantine(strict, MILL)
    assert [q.place for q in noted] == [("iot.mill.events", 1, offset) for offset in range(7)]
    seen = "process_temperature is 280, air_temperature is 300"
    detail = f"{seen}: {WARMER}(process_temperature, air_temperature)"
    assert {(q.reason, q.key, q.detail) for q in noted} == {("expectation", b"mill-1", detail)}
    assert read_table(strict, "mill", "silver").num_rows == 100


def test_a_share_beyond_the_limit_stops_the_run_and_sets_nothing_aside(strict: Settings) -> None:
    write(strict, silver(MILL, 11))  # the fleet file lets a tenth be refused

    with pytest.raises(GateFailedError, match=f"{WARMER}: 11 of 100 rows fail"):
        check(strict)

    with pytest.raises(LakeError, match="no such table"):
        read_quarantine(strict, MILL)


def test_a_person_sets_aside_what_failed_and_the_rest_is_published(
    strict: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(strict, silver(MILL, 11))
    with pytest.raises(GateFailedError):
        check(strict)
    said = Resolution("me", "the heater was off", NOW)
    failed = find_failed(strict, MILL)
    monkeypatch.setattr("expectations.resolve.record", kill)
    with pytest.raises(KeyboardInterrupt):
        set_failing_aside(strict, MILL, failed, said)
    monkeypatch.undo()

    audit, moved = set_failing_aside(strict, MILL, failed, said)

    assert moved == 0, "the killed run had moved them"
    assert [q.place[2] for q in read_quarantine(strict, MILL)] == list(range(11))
    assert (audit.verdict, audit.by, audit.why) == ("set aside", "me", "the heater was off")
    assert published_offsets(strict, MILL) == {("iot.mill.events", 1): 100}
    with pytest.raises(LakeError, match="no gate failed, so there is nothing to resolve"):
        find_failed(strict, MILL)
    day = check_day(strict, MILL, DAY.date(), DAY)
    assert day is not None
    assert day.rows == 89, "a rebuilt day is not stopped by them either"


def test_where_no_row_is_to_blame_none_is_set_aside(strict: Settings) -> None:
    write(strict, silver(MILL, 11).drop_columns(["torque"]))
    with pytest.raises(GateFailedError):
        check(strict)

    with pytest.raises(GateFailedError, match=r"no row can be set aside for torque .* aimaas gate acknowledge"):
        set_failing_aside(strict, MILL, find_failed(strict, MILL), Resolution("me", "why", NOW))

    assert table_version(strict, "mill", "quarantine") is None


def test_of_two_persons_one_resolves_a_failure(strict: Settings) -> None:
    write(strict, silver(MILL, 11))
    with pytest.raises(GateFailedError):
        check(strict)
    failed = find_failed(strict, MILL)
    acknowledge(strict, MILL, failed, Resolution("me", "why", NOW))

    with pytest.raises(LakeError, match="silver was judged or resolved meanwhile"):
        acknowledge(strict, MILL, failed, Resolution("you", "why", NOW))


def test_of_few_rows_those_that_fail_are_set_aside_whatever_their_share(strict: Settings) -> None:
    write(strict, silver(MILL, 11, count=49))

    assert check(strict).set_aside == 11


def test_a_later_gate_sets_aside_what_is_new(strict: Settings) -> None:
    write(strict, silver(MILL, 2))
    check(strict)
    write(strict, silver(MILL, 3, first=100))

    assert check(strict).set_aside == 3
    assert len(read_quarantine(strict, MILL)) == 5


def test_rows_can_be_set_aside_in_silver_only(tmp_path: Path) -> None:
    path = tmp_path / "expectations" / "mill_gold.yaml"
    path.parent.mkdir()
    path.write_text(f"- {{type: {WARMER}, severity: quarantine}}")

    with pytest.raises(FleetFileError, match="severity: found 'quarantine', allowed for gold: critical, warning"):
        hand_written(tmp_path, MILL, "gold")


def test_a_stuck_sensor_warns_and_the_run_goes_on(offline_settings: Settings) -> None:
    rng = np.random.default_rng(2)
    parts: list[Any] = []
    for device in range(20):
        rows = silver(MILL, 0, 60, first=1_000 * device)
        torque = rng.uniform(30, 50, 60) if device else np.full(60, 40.0)
        rows = rows.set_column(rows.column_names.index("device_id"), "device_id", pa.array([f"mill-{device}"] * 60))
        parts.append(rows.set_column(rows.column_names.index("torque"), "torque", pa.array(torque)))
    write(offline_settings, pa.concat_tables(parts))

    (warning,) = check(offline_settings).warnings

    observed, expected = "1 of 1 rows fail (0.05), such as mill-0", "expected min_value=0.0, max_value=0.02"
    assert str(warning) == f"torque_stuck_share expect_column_values_to_be_between: {observed}, {expected}"
