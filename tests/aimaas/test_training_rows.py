"""The digest of a training set's rows: of the rows alone, and of each of their values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimaas.training_rows import RowDigest, Rows, digest_of

_N, _F = 40, 3


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
