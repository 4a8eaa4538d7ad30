from __future__ import annotations

import pytest

from aimaas.fleet import Split
from aimaas.training.split import split_bounds, split_of, split_point

NAMES = ("train", "validation", "calibration", "test")


def test_a_device_keeps_its_place_for_ever() -> None:
    assert [round(split_point(d), 6) for d in ("e-1", "e-7", "mühle-3")] == [0.723867, 0.604968, 0.022022]


@pytest.mark.parametrize(
    ("shares", "bounds"),
    [
        ((0.7, 0.15, 0.0, 0.15), [("train", 0.7), ("validation", 0.85), ("test", 1.0)]),
        ((0.6, 0.1, 0.1, 0.2), [("train", 0.6), ("validation", 0.7), ("calibration", 0.8), ("test", 1.0)]),
        ((1.0, 0.0, 0.0, 0.0), [("train", 1.0)]),
    ],
)
def test_splits_without_a_share_get_no_device(shares: tuple[float, ...], bounds: list[tuple[str, float]]) -> None:
    found = split_bounds(Split(**dict(zip(NAMES, shares, strict=True))))
    assert [(name, round(end, 9)) for name, end in found] == bounds


def test_many_devices_come_near_the_shares() -> None:
    found = [split_of(f"device-{i}", Split()) for i in range(5000)]
    assert found.count("train") / 5000 == pytest.approx(0.7, abs=0.03)
    assert found.count("validation") / 5000 == pytest.approx(0.15, abs=0.03)
    assert found.count("calibration") == 0


def test_larger_training_share_keeps_the_devices_that_train_already() -> None:
    devices = [f"device-{i}" for i in range(500)]
    before = {d for d in devices if split_of(d, Split()) == "train"}
    after = {d for d in devices if split_of(d, Split(train=0.8, validation=0.1, test=0.1)) == "train"}
    assert before < after
