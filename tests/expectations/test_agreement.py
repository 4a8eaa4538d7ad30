"""Great Expectations counts what the shared judge refuses, and reads the rows once however much is expected of them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from aimaas.admission.judge import Judge, Reason
from aimaas.fleet import FleetSpec, load_fleet
from aimaas.lake import table_path
from aimaas.settings import Settings
from expectations.rows.new_rows import rows_in
from expectations.rows.parts import Part
from expectations.suite import Expected, derived
from expectations.validation import DataDocs
from tests.conftest import FLEETS


def spoiled(fleet: FleetSpec, count: int) -> np.ndarray[Any, Any]:
    """Rows of readings; in a third one is out of its range, in some of the others one is null."""
    rng = np.random.default_rng(5)
    low, high = np.array([r.range for r in fleet.reading_specs]).T
    values = rng.uniform(low, high, (count, len(low)))
    columns = rng.integers(len(low), size=count)
    for row, c in enumerate(columns.tolist()):
        if row % 3 == 0:
            values[row, c] = high[c] + (high[c] - low[c]) if row % 2 else low[c] - 1
        elif row % 3 == 1 and row % 5 == 0:
            values[row, c] = np.nan
        elif row % 7 == 0:
            values[row, c] = high[c]  # both ends are allowed
    return values


def judged(fleet: FleetSpec, values: np.ndarray[Any, Any]) -> Counter[tuple[str, str]]:
    """The judge's verdicts by reason and reading, as the detail of each refusal names it."""
    records = [
        json.dumps({
            "fleet": fleet.fleet, "device_id": "d", "seq": i, "ts": "2026-11-23T10:00:00Z",
            "readings": {n: None if np.isnan(v) else v for n, v in zip(fleet.readings, row, strict=True)},
        }).encode()
        for i, row in enumerate(values.tolist())
    ]  # fmt: skip
    batch = Judge(fleet).decode([b"d"] * len(records), records)
    return Counter(
        (Reason(batch.reason[i]).label, batch.detail[i].split()[0]) for i in np.flatnonzero(batch.reason).tolist()
    )


def counted(fleet: FleetSpec, values: np.ndarray[Any, Any], folder: Path) -> Counter[tuple[str, str]]:
    """The rows that the derived suite finds failing, from the results that Data Docs are made of."""
    suite = [e for e in derived(fleet, "silver") if e[1].get("column") in fleet.readings]
    DataDocs(folder, fleet.fleet).validate("counts", suite, pd.DataFrame(values, columns=list(fleet.readings)), "v0")
    (path,) = (folder / fleet.fleet / "results" / "validations").rglob("*.json")
    reasons = {
        "expect_column_values_to_be_between": "out_of_range",
        "expect_column_values_to_not_be_null": "missing_reading",
    }
    return +Counter(
        {
            (reasons[r["expectation_config"]["type"]], r["expectation_config"]["kwargs"]["column"]): r["result"]["unexpected_count"]
            for r in json.loads(path.read_text())["results"]
        }
    )  # fmt: skip


@pytest.mark.parametrize("name", ["turbofan", "mill"])
def test_gx_counts_for_each_reading_what_the_judge_refuses(name: str, tmp_path: Path) -> None:
    fleet = load_fleet(FLEETS / f"{name}.yaml")
    values = spoiled(fleet, 900)

    found = counted(fleet, values, tmp_path)

    assert found == judged(fleet, values)
    assert {reason for reason, _ in found} == {"out_of_range", "missing_reading"}


def bytes_read() -> int:
    """Bytes that this process has asked of files."""
    lines = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(lines["rchar"])


def test_ten_times_the_expectations_read_the_table_no_more_often(offline_settings: Settings) -> None:
    fleet = load_fleet(FLEETS / "mill.yaml")
    rng = np.random.default_rng(1)
    places = {"topic": ["events"] * 300_000, "partition": [0] * 300_000, "offset": range(300_000)}
    rows = pa.table({name: rng.normal(size=300_000) for name in fleet.readings} | places)
    write_deltalake(table_path(offline_settings, "mill", "silver"), rows)
    size, part = rows.select(fleet.readings).nbytes, Part(end={("events", 0): 300_000})
    few: list[Expected] = [
        ("expect_column_values_to_be_between", {"column": name, "min_value": -9, "max_value": 9}, "critical")
        for name in fleet.readings
    ]
    docs = DataDocs(offline_settings.data_docs, "mill")
    read = []
    for suite in (few, few, [(t, {**k, "max_value": 9 + i}, s) for t, k, s in few for i in range(10)]):
        before = bytes_read()
        frame = rows_in(offline_settings, fleet, "silver", part, fleet.readings).to_pandas()
        docs.validate("scans", suite, frame, "v0")
        read.append(bytes_read() - before)

    assert size * 0.5 < read[1] < size * 2
    assert read[2] - read[1] < size * 0.1


def test_a_hundred_times_the_failing_rows_leave_no_more_of_them_in_the_results(tmp_path: Path) -> None:
    fleet = load_fleet(FLEETS / "mill.yaml")
    suite = [e for e in derived(fleet, "silver") if e[1].get("column") == "torque"]
    sizes = []
    for count in (300, 30_000):
        folder = tmp_path / str(count)
        frame = pd.DataFrame({"torque": np.linspace(1_000, 2_000, count)})
        findings = DataDocs(folder, "mill").validate("failing", suite, frame, "v0").findings
        assert [f"{count} of {count} rows fail" in f.observed for f in findings] == [True]
        sizes.append(sum(path.stat().st_size for path in (folder / "mill" / "results" / "validations").rglob("*.json")))

    assert sizes[1] < 1.1 * sizes[0]
