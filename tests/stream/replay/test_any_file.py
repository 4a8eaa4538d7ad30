"""Whatever a file holds, it is read or refused in one line."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from aimaas.fleet import FleetSpec
from stream.replay.replay import ReplayError, check_file, read_file

MAPPING = """\
fleet: pump
device: id
run: {column: r}
ts: {column: t, zone: Europe/Berlin}
readings: {pressure: p, vibration: {column: v, values: {a: 1, b: 2}}}
outcome: {column: s, failed: [x], optional: true, mode: m}
"""
COLUMNS = ("id", "r", "t", "p", "v", "s", "m")
TYPES = [
    pa.null(), pa.bool_(), pa.int8(), pa.uint64(), pa.int64(), pa.float16(), pa.float32(), pa.float64(), pa.decimal128(9, 2),
    pa.decimal256(50, 3), pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(), pa.binary(3),
    pa.date32(), pa.date64(), pa.time32("s"), pa.time64("us"), pa.timestamp("s"), pa.timestamp("ns"), pa.timestamp("us", "UTC"),
    pa.duration("s"), pa.list_(pa.int64()), pa.struct([("x", pa.int64())]), pa.dictionary(pa.int8(), pa.string()),
    pa.dictionary(pa.int32(), pa.large_string()),
]  # fmt: skip
CELL = st.one_of(
    st.sampled_from(
        [
            "",
            "1",
            "01",
            "-1",
            "1.5",
            "1,5",
            "nan",
            "inf",
            "a",
            "x",
            "2026-11-29",
            "2026-11-29T10:00:00Z",
            "é",
            '"',
            "\0",
        ]
    ),
    st.text(max_size=6),
)


def read_or_refused(pump: FleetSpec, path: Path) -> None:
    mapping = path.with_name("map.yaml")
    mapping.write_text(MAPPING)
    try:
        rows = len(read_file(pump, path, mapping))
    except ReplayError as e:
        assert "\n" not in str(e)
        try:
            report = check_file(pump, path, mapping)
        except ReplayError:
            return
        assert report.unreadable
        return
    report = check_file(pump, path, mapping)
    assert (report.events, report.unreadable) == (rows, [])


@settings(max_examples=60)
@given(rows=st.lists(st.tuples(*[CELL] * len(COLUMNS)), min_size=1, max_size=4))
def test_any_cells(pump: FleetSpec, rows: list[tuple[str, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        lines = [",".join(row) for row in [COLUMNS, *rows]]
        path.write_bytes("\n".join(lines).encode())
        read_or_refused(pump, path)


@settings(max_examples=60)
@given(content=st.binary(max_size=80), headed=st.booleans())
def test_any_bytes(pump: FleetSpec, content: bytes, headed: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        path.write_bytes((",".join(COLUMNS).encode() + b"\n" if headed else b"") + content)
        read_or_refused(pump, path)


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("kind", TYPES, ids=str)
def test_any_type_of_parquet_column(pump: FleetSpec, tmp_path: Path, column: str, kind: Any) -> None:
    good: dict[str, Any] = {
        "id": ["a"],
        "r": [0],
        "t": ["2026-11-29T10:00:00Z"],
        "p": [1.5],
        "v": ["a"],
        "s": ["x"],
        "m": ["y"],
    }
    for cell in (None, a_value(kind)):
        good[column] = (
            pa.array([cell], kind.value_type).dictionary_encode()
            if pa.types.is_dictionary(kind)
            else pa.array([cell], kind)
        )
        parquet.write_table(pa.table(good), tmp_path / "t.parquet")
        read_or_refused(pump, tmp_path / "t.parquet")


def a_value(kind: Any) -> Any:
    """A value of an Arrow type."""
    for value in (1, "a", b"abc", True, [1], {"x": 1}):
        try:
            pa.array([value], kind.value_type if pa.types.is_dictionary(kind) else kind)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, TypeError, ValueError):
            continue
        return value
    return None
