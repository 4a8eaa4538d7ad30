"""The digest of a training set's rows: of the rows alone, and of each of their values."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimaas.training_rows import RowDigest, Rows, digest_of, pieces_of, read_rows

_N, _F = 40, 3
# of `_rows()`, by the release before there were weights
DIGEST_OF_BEFORE = "cc22d2172f846521366aad36f3748bec1d70d0394d8031e88ad05358ceeccd3b"


def _rows() -> Rows:
    random = np.random.default_rng(3)
    devices = np.array([f"pump-{i % 5}" for i in range(_N)], object)
    splits = np.array(["train", "test"], object)[np.arange(_N) % 5 % 2]
    features = random.normal(size=(_N, _F)).astype(np.float32)
    return Rows(devices, np.zeros(_N, np.int64), np.arange(_N), splits, features[:, 0].copy(), features)


@given(st.permutations(range(_N)), st.lists(st.integers(0, _N)))
def test_neither_order_nor_cut_changes_the_digest(order: list[int], cuts: list[int]) -> None:
    rows, digest = _rows().at(order), RowDigest()
    ends = [*sorted(cuts), _N]
    for begin, end in zip([0, *ends], ends, strict=False):
        digest.add(rows.at(slice(begin, end)))
    assert digest.hex() == digest_of(_rows())


@pytest.mark.parametrize("column", list(Rows.__dataclass_fields__))
def test_every_value_is_in_the_digest(column: str) -> None:
    rows, changed = _rows(), _rows()
    values = getattr(changed, column)
    values[7] = values[7] + ("x" if values.dtype == object else 1)
    assert digest_of(changed) != digest_of(rows)


def test_a_row_that_is_there_twice_changes_the_digest() -> None:
    assert digest_of(_rows().at([*range(_N), 7])) != digest_of(_rows())


def _written(folder: Path, weight: bool) -> Path:
    rows = replace(_rows(), weight=np.linspace(1, 2, _N, dtype=np.float32)) if weight else _rows()
    columns = {name: pa.array(getattr(rows, name)) for name in ("device_id", "run", "order", "split", "label")}
    columns |= {"weight": pa.array(rows.weight)} if weight else {}
    (folder / "rows").mkdir()
    table = pa.table({**columns, "features": pa.array(list(rows.features), pa.list_(pa.float32()))})
    pq.write_table(table, folder / "rows" / "part-0.parquet")
    return folder


def test_rows_of_before_there_were_weights_weigh_1_and_keep_their_digest(tmp_path: Path) -> None:
    folder = _written(tmp_path, weight=False)
    found = read_rows(folder, _F)
    assert (found.weight == 1).all() and found.sample_weight is None
    assert digest_of(found) == digest_of(_rows()) == DIGEST_OF_BEFORE
    assert all((piece.weight == 1).all() for piece in pieces_of(folder, _F))


def test_weights_come_back_as_they_were_written(tmp_path: Path) -> None:
    found = read_rows(_written(tmp_path, weight=True), _F)
    assert sorted(found.weight.tolist()) == np.linspace(1, 2, _N, dtype=np.float32).tolist()
    assert found.of("train").sample_weight is not None
