"""Memory of a replay: it loads no library that it does not use, and sorts in the memory that it says."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import csv, parquet

from stream.replay.cells.arrays import is_absent, mask_of, null_of, texts_of, values_of
from stream.replay.external_sort import ExternalSort
from tests.stream.replay.conftest import PUMP

MAPPING = """\
fleet: pump
device: id
run: life
ts: {column: t, format: "%d.%m.%Y %H:%M", zone: Europe/Berlin}
decimal: ","
readings: {pressure: {column: p, values: {low: 1, high: 2}}, vibration: v}
outcome: {column: s, failed: [broken], mode: m}
"""
TABLE = """\
id;life;t;p;v;s;m
007;0;29.11.2026 10:00;low;1,5;ok;
007;0,0;29.11.2026 10:01;high;;ok;
m2;1;29.11.2026 10:01;low;NA;broken;seal
"""
READ = """
from stream.replay.backfill import backfill_file
from stream.replay.replay import read_file
assert len(read_file(load_fleet(home / "pump.yaml"), home / sys.argv[2], home / "mappings" / "map.yaml")) == 3
"""
CHECK = """
from typer.testing import CliRunner
from cli.app import app
asked = ["replay", str(home / sys.argv[2]), "-f", "pump", "-m", str(home / "mappings" / "map.yaml"), "--check"]
done = CliRunner().invoke(app, asked, env={"AIMAAS_FLEETS": str(home)})
assert "3 events would be admitted" in done.output, done.output
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "mappings").mkdir()
    (tmp_path / "pump.yaml").write_text(PUMP)
    (tmp_path / "mappings" / "map.yaml").write_text(MAPPING + 'delimiter: ";"\n')
    (tmp_path / "t.csv").write_text(TABLE)
    texts = csv.ConvertOptions(column_types=dict.fromkeys(["id", "life", "t", "p", "v", "s", "m"], pa.string()))
    table = csv.read_csv(tmp_path / "t.csv", parse_options=csv.ParseOptions(delimiter=";"), convert_options=texts)
    parquet.write_table(table, tmp_path / "t.parquet")
    return tmp_path


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_a_table_is_read_without_pandas_and_without_the_compiled_code_of_admission(home: Path, name: str) -> None:
    assert loaded(READ, home, name) == ""


def test_a_check_loads_the_compiled_code_and_no_pandas(home: Path) -> None:
    assert loaded(CHECK, home, "t.csv") == "numba"


def loaded(script: str, home: Path, name: str) -> str:
    """Run a script in a new process; return the large libraries that it has loaded."""
    before = "import sys\nfrom pathlib import Path\nfrom aimaas.fleet import load_fleet\nhome = Path(sys.argv[1])\n"
    after = "print(*(m for m in ('numba', 'pandas', 'deltalake', 'pyspark', 'mlflow') if m in sys.modules))"
    command = [sys.executable, "-c", before + script + after, str(home), name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


CELLS = st.one_of(
    st.tuples(st.sampled_from([pa.int64(), pa.int32()]), st.lists(st.none() | st.integers(-(2**31), 2**31 - 1))),
    st.tuples(st.just(pa.float64()), st.lists(st.none() | st.floats())),
)


@settings(max_examples=200)
@given(typed=CELLS, cut=st.integers(0, 3))
def test_arrow_arrays_become_numpy_arrays_of_the_same_numbers(
    typed: tuple[pa.DataType, list[float | None]], cut: int
) -> None:
    kind, cells = typed
    array, expected = pa.array(cells, kind)[cut:], cells[cut:]
    found = values_of(array, absent=-1)
    assert found.dtype == kind.to_pandas_dtype()
    np.testing.assert_array_equal(found, np.array([-1 if c is None else c for c in expected], found.dtype))
    assert is_absent(array).tolist() == [c is None for c in expected]


@given(flags=st.lists(st.none() | st.booleans()), cut=st.integers(0, 9))
def test_a_null_boolean_is_false(flags: list[bool | None], cut: int) -> None:
    assert mask_of(pa.array(flags, pa.bool_())[cut:]).tolist() == [flag is True for flag in flags[cut:]]


@given(words=st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_words_become_the_text_that_they_are(words: list[str]) -> None:
    made = texts_of(words)
    made.validate(full=True)
    assert (made.type, made.to_pylist()) == (pa.string(), words)
    assert not null_of(pa.string()).is_valid


def test_ten_times_the_memory_is_sorted_within_the_memory(tmp_path: Path) -> None:
    """One buffer while rows are added. While runs are merged: their parts, and the same rows together."""
    kind, memory = np.dtype([("key", np.int64), ("values", np.float64, (24,))]), 1 << 20
    blocks = 10 * memory // kind.itemsize // 100
    tracemalloc.start()
    try:
        sort = ExternalSort(kind, ("key",), tmp_path, memory)
        for block in range(blocks):
            sort.add(made_rows(kind, block, blocks))
        _, adding = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        rows = sum(len(part) for part in sort.sorted())
        _, merging = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert rows == 100 * blocks
    assert adding < 1.5 * memory, adding
    assert merging < 3 * memory, merging


def made_rows(kind: np.dtype[np.void], block: int, blocks: int) -> npt.NDArray[np.void]:
    """Return a hundred rows; all keys of all blocks differ, and each block has keys from the whole range."""
    rows = np.zeros(100, kind)
    rows["key"] = np.arange(100) * blocks + block
    return rows
