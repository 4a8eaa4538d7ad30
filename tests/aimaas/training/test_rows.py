"""The digest of a training set's rows: of the rows alone, and of each of their values."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimaas.errors import LakeError
from aimaas.training.rows import RowDigest, Rows, digest_of, pieces_of, read_rows

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


def _with_bounds() -> Rows:
    rows = _rows()
    rows.label[::4] = np.nan
    return replace(rows, lower=np.arange(_N, dtype=np.float32), upper=np.full(_N, np.inf, np.float32))


@pytest.mark.parametrize("column", list(Rows.__dataclass_fields__))
def test_every_value_is_in_the_digest(column: str) -> None:
    bounds = column in ("lower", "upper")
    rows, changed = (_with_bounds() if bounds else _rows() for _ in range(2))
    if column == "upper":
        changed.upper[7] = 3  # type: ignore[index]
        assert digest_of(changed) != digest_of(rows)
        return
    values = getattr(changed, column)
    values[7] = values[7] + ("x" if values.dtype == object else 1)
    assert digest_of(changed) != digest_of(rows)


def test_rows_without_a_label_come_with_bounds_and_stand_apart(tmp_path: Path) -> None:
    rows = _with_bounds()
    columns = {name: getattr(rows, name) for name in Rows.__dataclass_fields__ if name != "features"}
    (tmp_path / "rows").mkdir()
    table = pa.table({**columns, "features": pa.array(list(rows.features), pa.list_(pa.float32()))})
    pq.write_table(table, tmp_path / "rows" / "part-0.parquet")
    found = read_rows(tmp_path, _F)
    assert digest_of(found) == digest_of(rows)
    assert len(found) == _N and len(found.labelled) == _N - len(rows.label[::4])
    assert np.isfinite(found.labelled.label).all() and _rows().labelled.lower is None


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


def _in_files(folder: Path, rows: Rows, files: int) -> Path:
    """The rows in files of about equal size, in the order that they have."""
    (folder / "rows").mkdir()
    for number, part in enumerate(np.array_split(np.arange(len(rows)), files)):
        chosen = rows.at(part)
        columns = {
            name: pa.array(getattr(chosen, name))
            for name in Rows.__dataclass_fields__
            if name not in ("features", "lower", "upper")
        }
        table = pa.table({**columns, "features": pa.array(list(chosen.features), pa.list_(pa.float32()))})
        pq.write_table(table, folder / "rows" / f"part-{number}.parquet")
    return folder


@settings(max_examples=20)
@given(st.permutations(range(_N)), st.integers(1, 7))
def test_rows_are_sorted_with_their_features_however_they_lie_in_files(order: list[int], files: int) -> None:
    with TemporaryDirectory() as folder:
        found = read_rows(_in_files(Path(folder), _rows().at(order), files), _F)
    keys = list(zip(found.device_id, found.run, found.order, strict=True))
    assert keys == sorted(keys)
    np.testing.assert_array_equal(found.features[:, 0], found.label)
    assert digest_of(found) == digest_of(_rows())


def test_a_feature_row_of_another_length_is_refused_where_the_sum_of_lengths_fits(tmp_path: Path) -> None:
    folder = _written(tmp_path, weight=True)
    file = folder / "rows" / "part-0.parquet"
    table = pq.read_table(file)
    lists = table["features"].to_pylist()
    lists[0], lists[1] = [*lists[0], 0.0], lists[1][:-1]
    pq.write_table(table.set_column(6, "features", pa.array(lists, pa.list_(pa.float32()))), file)
    with pytest.raises(LakeError, match="not all 3 long"):
        read_rows(folder, _F)


@pytest.mark.parametrize("files", [1, 3])
def test_a_set_without_rows_is_read_as_one(tmp_path: Path, files: int) -> None:
    found = read_rows(_in_files(tmp_path, _rows().at(slice(0, 0)), files), _F)
    assert len(found) == 0
    assert found.features.shape == (0, _F)


@pytest.mark.long
def test_more_features_than_an_arrow_list_holds_are_read(tmp_path: Path) -> None:
    width, n, files = 1_000_000, 100, 22  # 2.2 thousand million values, as many as 16.9 million rows of a turbofan have
    features = np.zeros((n, width), np.float32)
    features[:, -1] = np.arange(n)
    lists = pa.FixedSizeListArray.from_arrays(features.ravel(), width).cast(pa.list_(pa.float32()))
    columns = {"device_id": ["d"] * n, "run": [0] * n, "order": np.arange(n), "split": ["train"] * n}
    (tmp_path / "rows").mkdir()
    first = tmp_path / "rows" / "part-0.parquet"
    pq.write_table(pa.table({**columns, "label": features[:, -1], "features": lists}), first, use_dictionary=False)
    for number in range(1, files):
        (tmp_path / "rows" / f"part-{number}.parquet").hardlink_to(first)
    found = read_rows(tmp_path, width)
    assert found.features.size > 2**31
    np.testing.assert_array_equal(found.features[:, -1], np.repeat(np.arange(n), files))
    assert sum(len(piece) for piece in pieces_of(tmp_path, width)) == n * files
