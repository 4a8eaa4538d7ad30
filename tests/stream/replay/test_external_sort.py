"""Rows that do not fit into memory are sorted as if they did."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stream.replay.external_sort import ExternalSort
from stream.replay.mapping.schema import ReplayError

KIND = np.dtype([("a", np.int64), ("b", np.int32), ("row", np.int64), ("values", np.float64, (2,))])
BY = ("a", "b", "row")
PAIRS = hnp.arrays(np.int64, st.tuples(st.integers(0, 200), st.just(2)), elements=st.integers(-3, 3))


def made(pairs: npt.NDArray[np.int64]) -> npt.NDArray[np.void]:
    rows = np.zeros(len(pairs), KIND)
    rows["a"], rows["b"], rows["row"] = pairs[:, 0], pairs[:, 1], np.arange(len(pairs))
    rows["values"] = rows["row"][:, None]
    return rows


@settings(max_examples=60)
@given(pairs=PAIRS, held=st.integers(1, 40), cut=st.integers(1, 60))
def test_any_rows_come_in_order_however_few_fit_into_memory(pairs: npt.NDArray[np.int64], held: int, cut: int) -> None:
    rows = made(pairs)
    with tempfile.TemporaryDirectory() as folder:
        sort = ExternalSort(KIND, BY, Path(folder), memory_bytes=held * KIND.itemsize)
        for i in range(0, len(rows), cut):
            sort.add(rows[i : i + cut])
        parts = list(sort.sorted())
        assert list(Path(folder).iterdir()) == []

    found = np.concatenate([rows[:0], *parts])
    np.testing.assert_array_equal(found, rows[np.lexsort((rows["row"], rows["b"], rows["a"]))])
    assert max((len(p) for p in parts), default=0) <= max(2 * held, 2 * len(pairs) // max(held, 1), 4) + held


def test_a_folder_that_cannot_hold_the_rows_is_named(tmp_path: Path) -> None:
    sort = ExternalSort(KIND, BY, tmp_path / "gone", memory_bytes=2 * KIND.itemsize)
    with pytest.raises(ReplayError, match=r"gone: no room for the rows .* set TMPDIR"):
        sort.add(made(np.zeros((5, 2), np.int64)))
