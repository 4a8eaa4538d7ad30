from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from aimaas.model.intervals import Bounds, Intervals

MADE = Intervals(0.9, (10.0, 50.0), (-2.0, -5.0, -20.0), (2.0, 6.0, 20.0), 40, "cross-validation")


def test_a_prediction_gets_the_offsets_of_its_band_and_an_edge_belongs_to_the_band_above() -> None:
    lower, upper = Bounds(MADE, (0.0, 125.0)).of(np.array([5, 10, 49.5, 50], np.float32))
    assert lower.tolist() == [3, 5, 44.5, 30]
    assert upper.tolist() == [7, 16, 55.5, 70]
    assert lower.dtype == upper.dtype == np.float32


def test_bounds_stay_within_the_range_of_the_target() -> None:
    lower, upper = Bounds(MADE, (0.0, 60.0)).of(np.array([1, 55], np.float32))
    assert (lower.tolist(), upper.tolist()) == ([0, 35], [3, 60])


def test_a_row_alone_gets_the_bits_that_it_has_among_many() -> None:
    bounds, many = Bounds(MADE, (0.0, 125.0)), np.random.default_rng(1).uniform(0, 125, 500).astype(np.float32)
    alone = [bounds.of(many[i : i + 1]) for i in range(len(many))]
    assert np.array_equal(np.array(alone)[:, :, 0].T, np.array(bounds.of(many)))


@pytest.mark.parametrize(
    "change",
    [{"lower": [-1.0]}, {"edges": [50.0, 10.0]}, {"upper": [2.0, -6.0, 20.0]}, {"lower": [1.0, -5.0, -20.0]}],
)
def test_intervals_that_do_not_fit_together_are_no_valid_metadata(change: dict[str, Any]) -> None:
    plain = msgspec.to_builtins(MADE)
    assert msgspec.convert(plain, Intervals) == MADE
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**plain, **change}, Intervals)
