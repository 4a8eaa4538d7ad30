"""Recorded data becomes histories, and what is wrong with it is said with file, column and row."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from aimaas.admission.judge import Judge
from aimaas.fleet import FleetSpec, load_fleet
from stream.devices.histories import truth
from stream.devices.producer import Encoder
from stream.replay.replay import ReplayError, read_cmapss, read_file, read_remaining
from tests.conftest import FLEETS

AI4I = FLEETS / "mappings" / "ai4i2020.yaml"
TURBOFAN, MILL = load_fleet(FLEETS / "turbofan.yaml"), load_fleet(FLEETS / "mill.yaml")

AI4I_TABLE = """\
\ufeffUDI,Product ID,Type,Air temperature [K],Process temperature [K],Rotational speed [rpm],Torque [Nm],Tool wear [min],\
Machine failure,TWF,HDF,PWF,OSF,RNF
1,M1,M,298.1,308.6,1551,42.8,0,0,0,0,0,0,0
2,L2,L,298.2,308.7,1408,46.3,3,1,0,0,1,0,0
3,H3,H,298.1,308.5,1498,49.4,5,0,0,0,0,0,0
"""
OWN_MAPPING = """\
fleet: mill
device: {column: machine}
run: life
ts: {column: at, zone: UTC}
readings:
  quality: {constant: 1}
  air_temperature: {column: celsius, offset: 273.15}
  process_temperature: {column: celsius, offset: 283.15}
  speed: {column: hz, scale: 60}
  torque: torque
  tool_wear: {column: wear, values: {new: 0, old: 200}}
outcome: {last_row: retired, column: state, failed: [broken], repaired: [mended]}
"""
OWN_ROWS: dict[str, list[Any]] = {
    "machine": ["b", "a", "b", "b", "a"],
    "life": [0, 0, 0, 1, 0],
    "at": [
        "2026-01-01T00:00:02Z",
        "2026-01-01T00:00:01",
        "2026-01-01T01:00:01+01:00",
        "2026-01-01T00:00:09Z",
        "2026-01-01T00:00:05Z",
    ],
    "celsius": [20.0, 21.0, 22.0, 23.0, 24.0],
    "hz": [25.0, 25.5, 26.0, 26.5, 27.0],
    "torque": [40.0, 41.0, None, 43.0, 44.0],
    "wear": ["new", "old", "new", "new", "old"],
    "state": ["broken", "", "", "mended", ""],
}


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def engine_rows(engine: int, cycles: int) -> str:
    return "".join(
        f"{engine} {cycle} " + " ".join(f"{r.range[0] + cycle / 100:.4f}" for r in TURBOFAN.reading_specs) + "  \n"
        for cycle in range(1, cycles + 1)
    )


@pytest.fixture
def cmapss(tmp_path: Path) -> Path:
    written(tmp_path, "train_FD001.txt", engine_rows(1, 3) + engine_rows(2, 2))
    written(tmp_path, "test_FD001.txt", engine_rows(1, 2))
    written(tmp_path, "RUL_FD001.txt", "112 \n")
    return tmp_path


def test_ai4i_rows_become_devices_with_an_outcome_each(tmp_path: Path) -> None:
    histories = read_file(MILL, written(tmp_path, "ai4i.csv", AI4I_TABLE), AI4I)

    assert histories.devices == ["ai4i-00001", "ai4i-00002", "ai4i-00003"]
    np.testing.assert_array_equal(histories.values[0], [1, 298.1, 308.6, 1551, 42.8, 0])
    assert [(e.row, e.seq, e.kind, e.mode) for e in sorted(histories.endings, key=lambda e: e.row)] == [
        (0, 6, "retired", None),
        (1, 1, "failed", "power"),
        (2, 6, "retired", None),
    ]
    np.testing.assert_array_equal(truth(histories, MILL), [0, 1, 0])


def test_parquet_with_columns_of_its_own_is_ordered_by_device_run_and_time(tmp_path: Path) -> None:
    parquet.write_table(pa.table(OWN_ROWS), tmp_path / "own.parquet")

    histories = read_file(MILL, tmp_path / "own.parquet", written(tmp_path, "own.yaml", OWN_MAPPING))

    names = [histories.devices[d] for d in histories.device]
    assert list(zip(names, histories.run.tolist(), histories.seq.tolist(), strict=True)) == [
        ("b", 0, 1), ("b", 0, 2), ("b", 1, 1), ("a", 0, 1), ("a", 0, 2),
    ]  # fmt: skip
    np.testing.assert_allclose(histories.values[:2, 1:4], [[295.15, 305.15, 1560], [293.15, 303.15, 1500]])
    assert np.isnan(histories.values[0, 4])
    assert sorted((e.row, e.kind) for e in histories.endings) == [(1, "failed"), (2, "repaired"), (4, "retired")]
    assert histories.ts_us is not None
    assert datetime.fromtimestamp(histories.ts_us[0] / 1e6, UTC) == datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC)


def test_cmapss_training_engines_fail_at_their_last_cycle(cmapss: Path) -> None:
    histories = read_cmapss(TURBOFAN, cmapss, "FD001", "train")

    assert histories.devices == ["train-FD001-001", "train-FD001-002"]
    assert [(e.row, e.seq, e.kind) for e in histories.endings] == [(2, 3, "failed"), (4, 2, "failed")]
    np.testing.assert_array_equal(truth(histories, TURBOFAN), [2, 1, 0, 1, 0])


def test_cmapss_test_engines_have_no_outcome(cmapss: Path) -> None:
    histories = read_cmapss(TURBOFAN, cmapss, "FD001", "test")

    assert (histories.devices, histories.endings) == (["test-FD001-001"], [])
    assert np.isnan(truth(histories, TURBOFAN)).all()
    assert read_remaining(cmapss, "FD001").tolist() == [112]


def test_replayed_events_are_admitted(cmapss: Path) -> None:
    histories = read_cmapss(TURBOFAN, cmapss, "FD001", "train")
    rows = histories.in_time()
    records = Encoder(TURBOFAN, histories).events(rows, histories.times_us(1_795_000_000_000_000)[rows])

    batch = Judge(TURBOFAN).decode([key for key, _ in records], [value for _, value in records])

    assert batch.detail == {}
    assert batch.device_ids[:4] == ["train-FD001-001", "train-FD001-002"] * 2


@pytest.mark.parametrize(
    ("fleet", "found", "message"),
    [
        (MILL, "train_FD001.txt", "does not declare the readings of C-MAPSS .* use the fleet turbofan"),
        (TURBOFAN, "train_FD003.txt", "train_FD001.txt: no such file; .* has train_FD003.txt"),
    ],
)
def test_cmapss_that_does_not_fit_says_what_does(tmp_path: Path, fleet: FleetSpec, found: str, message: str) -> None:
    written(tmp_path, found, engine_rows(1, 2))
    with pytest.raises(ReplayError, match=message):
        read_cmapss(fleet, tmp_path, "FD001", "train")


@pytest.mark.parametrize("text", ["1 1 2\n", "1 1 " + "x " * 24 + "\n", engine_rows(1, 2) + "1 3 4\n", ""])
def test_torn_cmapss_files_are_refused_with_their_name(tmp_path: Path, text: str) -> None:
    written(tmp_path, "train_FD001.txt", text)
    with pytest.raises(ReplayError, match=r"train_FD001\.txt: (not a table of numbers|found \d+ columns)"):
        read_cmapss(TURBOFAN, tmp_path, "FD001", "train")


def test_a_part_that_is_not_there_and_a_file_for_a_directory_are_refused(cmapss: Path) -> None:
    with pytest.raises(ReplayError, match="part: found 'all', allowed: train, test"):
        read_cmapss(TURBOFAN, cmapss, "FD001", "all")
    with pytest.raises(ReplayError, match="no directory; a CSV or Parquet file is replayed with --mapping"):
        read_cmapss(TURBOFAN, cmapss / "train_FD001.txt", "FD001", "train")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Torque [Nm]", "Moment", "no column 'Torque \\[Nm\\]'; the columns are UDI, Product ID"),
        ("2,L2,L", "2,L2,XL", "column 'Type', row 2: found 'XL', allowed: one of 'L', 'M', 'H'"),
        ("1408", "fast", "column 'Rotational speed \\[rpm\\]', row 2: found 'fast', allowed: a finite number"),
        ("2,L2,L", "2,L2", "row 2: found 13 cells, allowed: 14 cells, as in the header"),
    ],
)
def test_mistakes_in_a_table_name_file_column_and_row(tmp_path: Path, old: str, new: str, message: str) -> None:
    table = written(tmp_path, "ai4i.csv", AI4I_TABLE.replace(old, new))
    with pytest.raises(ReplayError, match=f"ai4i.csv: {message}"):
        read_file(MILL, table, AI4I)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("fleet: mill", "fleet: turbofan", "fleet: found 'turbofan', but the command sends events of fleet 'mill'"),
        ("  torque: torque\n", "", "readings.torque: missing, must be given"),
        ("  torque: torque", "  torque: torque\n  load: load", "readings.load: fleet mill has no such reading"),
        ("{constant: 1}", "{}", "readings.quality: give either column or constant"),
        ("{column: machine}", "{row: 'm-{'}", "device: row 'm-{' is not a format of a number"),
        ("life", "[1]", "run: found .* allowed"),
        ("run:", "lives:", "lives: unknown key"),
        ("last_row: retired", "last_row: lost", "outcome.last_row: found 'lost', allowed"),
        ("fleet: mill", "fleet: [", "not valid YAML"),
        ("run: life", "run: life\nrun: other", "not valid YAML .*key 'run' is given twice"),
        ("last_row: retired", "last_row: retired, last_row: failed", "not valid YAML .*key 'last_row' is given twice"),
    ],
)
def test_each_mistake_in_a_mapping_file_is_one_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    table = written(tmp_path, "own.csv", "machine\n")
    mapping = written(tmp_path, "own.yaml", OWN_MAPPING.replace(old, new))
    with pytest.raises(ReplayError, match=f"own.yaml: {message}") as raised:
        read_file(MILL, table, mapping)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("life", -1, "column 'life', row 3: found -1, allowed: a whole number from 0"),
        ("at", "noon", "column 'at', row 3: found 'noon', allowed: RFC 3339"),
        ("machine", "", "column 'machine', row 3: found '', allowed: a name of 1 to 128"),
    ],
)
def test_a_cell_that_cannot_be_an_event_is_named(tmp_path: Path, column: str, value: object, message: str) -> None:
    cells = list(OWN_ROWS[column])
    cells[2] = value
    parquet.write_table(pa.table({**OWN_ROWS, column: cells}), tmp_path / "own.parquet")
    with pytest.raises(ReplayError, match=message):
        read_file(MILL, tmp_path / "own.parquet", written(tmp_path, "own.yaml", OWN_MAPPING))


def test_a_missing_file_or_mapping_is_said(tmp_path: Path) -> None:
    with pytest.raises(ReplayError, match=r"none.csv: cannot be read"):
        read_file(MILL, tmp_path / "none.csv", AI4I)
    with pytest.raises(ReplayError, match=r"none.yaml: cannot be read \(No such file"):
        read_file(MILL, written(tmp_path, "ai4i.csv", AI4I_TABLE), tmp_path / "none.yaml")
