"""Coverage counts each device alike within the part that is judged, and its interval draws whole devices."""

from __future__ import annotations

import numpy as np
import pytest

from aimaas.model.intervals import Bounds, Intervals
from models.evaluation.coverage import Coverages

BOUNDS = Bounds(Intervals(0.9, (50.0,), (-5.0, -10.0), (5.0, 10.0), 20, "x"), (0.0, 200.0))


def test_each_device_counts_alike_in_each_part() -> None:
    """Device a is covered in its nine low rows, device b is not in its only one; of the high rows it is the other way round."""
    device = np.array(["a"] * 9 + ["b"] + ["a"] + ["b"] * 9)
    truth = np.where(np.arange(20) < 10, 20.0, 100.0)
    covered = np.array([True] * 9 + [False] * 2 + [True] * 9)
    held = Coverages(BOUNDS, (truth + np.where(covered, 1, 25)).astype(np.float32), truth, device, 3)
    for part in (truth < 50, truth > 50):
        assert held.of(part).share == pytest.approx(0.5)
    assert held.of(truth < 50).width == pytest.approx((10 + 10) / 2)
    assert held.of(truth > 50).width == pytest.approx(20)


def test_weights_count_within_a_device() -> None:
    truth, device = np.full(4, 20.0), np.array(["a", "a", "b", "b"])
    said = np.array([20, 40, 20, 20], np.float32)
    held = Coverages(BOUNDS, said, truth, device, 3, np.array([3.0, 1.0, 1.0, 1.0]))
    assert held.of(np.ones(4, bool)).share == pytest.approx((3 + 2) / 6)


def test_the_interval_of_a_coverage_holds_it_and_is_that_of_devices_not_of_rows() -> None:
    random = np.random.default_rng(1)
    device = np.repeat(np.arange(50), 40)
    off = np.where(random.random(50) < 0.2, 30.0, 0.0)[device]
    held = Coverages(BOUNDS, (20 + off).astype(np.float32), np.full(2_000, 20.0), device, 3)
    share, _, low, high = held.of(np.ones(2_000, bool))
    assert low is not None and high is not None
    assert low < share < high
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(share * (1 - share) / 50), rel=0.2)


def test_one_device_has_a_coverage_and_no_interval() -> None:
    held = Coverages(BOUNDS, np.array([20, 90], np.float32), np.array([20.0, 40.0]), np.array(["a", "b"]), 3)
    assert held.of(np.array([True, False])) == (1.0, 10.0, None, None)
