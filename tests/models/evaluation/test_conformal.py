from __future__ import annotations

import numpy as np
import pytest

from aimaas.model.intervals import Bounds
from models.evaluation.conformal import COVERAGE, calibrate
from models.evaluation.coverage import Coverages

RANGE = (0.0, 125.0)


def devices_of(count: int, seed: int, rows: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predictions, truth and devices: each device errs in a way of its own, and the more, the longer it still runs."""
    random = np.random.default_rng(seed)
    truth = np.tile(np.minimum(np.arange(rows)[::-1] * 3.0, 125.0), count)
    device = np.repeat(np.arange(count), rows)
    spread = 2 + truth / 8
    predicted = truth + spread * (0.7 * random.normal(size=count)[device] + 0.7 * random.normal(size=len(truth)))
    return np.clip(predicted, *RANGE).astype(np.float32), truth, device.astype(str)


def coverage(bounds: Bounds, seed: int, count: int = 300) -> tuple[float, list[float]]:
    """Over devices that calibration has not seen: of all rows, and by band of the prediction."""
    predicted, truth, _ = devices_of(count, seed)
    lower, upper = bounds.of(predicted)
    within, band = (lower <= truth) & (truth <= upper), bounds.bands(predicted)
    return float(within.mean()), [float(within[band == b].mean()) for b in np.unique(band)]


def test_new_devices_are_covered_as_promised_in_every_band() -> None:
    found = [
        coverage(Bounds(calibrate(*devices_of(100, seed), RANGE, "calibration"), RANGE), seed + 1_000)
        for seed in range(20)
    ]
    assert np.mean([whole for whole, _ in found]) == pytest.approx(COVERAGE, abs=0.02)
    by_band = np.mean([bands for _, bands in found], axis=0)
    assert len(by_band) == 8
    assert np.abs(by_band - COVERAGE).max() < 0.03


def test_intervals_are_narrow_where_the_model_errs_little() -> None:
    made = calibrate(*devices_of(100, 1), RANGE, "calibration")
    assert made.upper[0] < max(made.upper) / 2
    assert (made.devices, made.source, made.coverage) == (100, "calibration", 0.9)


def test_a_device_with_many_rows_counts_as_much_as_one_with_few() -> None:
    predicted, truth, devices = devices_of(60, 3)
    odd = devices == "0"
    off = np.where(odd, np.clip(truth + 60, *RANGE), predicted).astype(np.float32)
    more_off, more_truth, more_devices = (np.concatenate([a, np.repeat(a[odd], 50)]) for a in (off, truth, devices))
    once = calibrate(off, truth, devices, RANGE, "calibration")
    often = calibrate(more_off, more_truth, more_devices, RANGE, "calibration")
    assert np.allclose(once.upper, often.upper, atol=1.5)


def wearers(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every other device wears fast: of its hundred rows ten are near failure, and the model errs much there. The others have
    eighty such rows, at which it errs little.
    """
    random = np.random.default_rng(seed)
    device, place = np.repeat(np.arange(count), 100), np.tile(np.arange(100), count)
    fast = device % 2 == 0
    near = place >= np.where(fast, 90, 20)
    predicted = np.where(near, random.uniform(5, 40, len(near)), random.uniform(60, 120, len(near)))
    spread = np.where(near, np.where(fast, 12, 2), 8)
    error = spread * (0.6 * random.normal(size=len(near)) + 0.8 * random.normal(size=count)[device])
    return predicted.astype(np.float32), np.clip(predicted + error, *RANGE), device.astype(str)


def test_devices_with_few_rows_in_a_band_count_there_as_much_as_those_with_many() -> None:
    found = []
    for seed in range(20):
        bounds = Bounds(calibrate(*wearers(60, seed), RANGE, "nested cross-validation"), RANGE)
        predicted, truth, device = wearers(200, 1_000 + seed)
        held = Coverages(bounds, predicted, truth, device, 7)
        found.append([held.of(predicted < 50).share, held.of(predicted >= 50).share])
    assert np.abs(np.mean(found, axis=0) - COVERAGE).max() < 0.03


def test_few_devices_share_one_band_and_too_few_give_the_whole_range() -> None:
    assert calibrate(*devices_of(15, 1), RANGE, "calibration").edges == ()
    made = calibrate(*devices_of(5, 1), RANGE, "calibration")
    assert (made.lower, made.upper) == ((-125.0,), (125.0,))


def test_predictions_that_are_all_alike_give_one_band() -> None:
    _, truth, devices = devices_of(50, 1)
    made = calibrate(np.full(len(truth), 60.0), truth, devices, RANGE, "calibration")
    assert len(made.upper) == len(made.edges) + 1
    assert made.upper[-1] > 50
