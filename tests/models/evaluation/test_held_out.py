from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from aimaas.kernel.fit import Fit
from aimaas.kernel.plan import plan_of
from aimaas.model.intervals import Bounds, Intervals
from aimaas.training.rows import Rows
from models.evaluation.held_out import Answers, calibration_bins, evaluate, regimes_of
from tests.models.conftest import CAP, pump_fleet

SETTING = {"name": "speed", "unit": "1", "range": [0, 100]}
FLEET = pump_fleet(settings={"speed": SETTING}, features={"regimes": 2})
PLAN = plan_of(FLEET)
FIT = Fit(((10.0,), (90.0,)), (1.0,), ((0.0, 0.0),) * 2, ((1.0, 1.0),) * 2)


def rows(n: int = 400) -> Rows:
    """Ten devices; the speed is low for the first half of the rows."""
    place = np.arange(n)
    features = np.zeros((n, len(PLAN.feature_names)), np.float32)
    features[:, PLAN.feature_names.index("speed")] = np.where(place < n // 2, 12, 80)
    label = np.linspace(0, CAP, n).astype(np.float32)
    device = np.array([f"d{i % 10}" for i in place], object)
    return Rows(device, place * 0, place, np.full(n, "test", object), label, features)


def judged(off: Any, bounds: Bounds | None = None) -> Any:
    found = rows()
    return evaluate(Answers(found, (found.label + off).astype(np.float32), bounds), False, PLAN, FIT, (0, CAP), 7)


def test_errors_are_told_by_band_of_the_truth_and_by_regime() -> None:
    found = judged(np.where(np.arange(400) < 200, 1.0, -3.0))
    by_name = {(g.by, g.name): g for g in found.groups}
    assert [name for by, name in by_name if by == "rul"] == ["0_8", "8_16", "16_24", "24_32", "32_40"]
    assert by_name["rul", "0_8"].rmse == pytest.approx(1.0, abs=1e-5)
    assert by_name["rul", "32_40"].bias == pytest.approx(-3.0, abs=1e-5)
    assert by_name["regime", "1"].mae == pytest.approx(3.0, abs=1e-5)
    assert sum(g.rows for g in found.groups if g.by == "rul") == 400
    assert all(g.coverage is None for g in found.groups)


def test_the_regime_is_read_from_the_operating_settings() -> None:
    assert regimes_of(PLAN, FIT, rows().features).tolist() == [0] * 200 + [1] * 200


def test_coverage_and_width_are_told_in_all_and_by_band_of_the_prediction() -> None:
    bounds = Bounds(Intervals(0.9, (20.0,), (-2.0, -2.0), (2.0, 2.0), 10, "x"), (-100, 100))
    found = judged(np.where(np.arange(400) < 200, 1.0, -3.0), bounds)
    bands = {g.name: g.coverage for g in found.groups if g.by == "band"}
    assert found.metrics["coverage"] == pytest.approx(0.5)
    assert found.metrics["width"] == pytest.approx(4.0, abs=1e-5)
    assert bands["1"] == pytest.approx(0.0, abs=0.06)
    assert found.flat()["coverage_regime_0"] == pytest.approx(1.0)


def test_all_of_an_evaluation_has_a_name_for_the_registry() -> None:
    flat = judged(1.0).flat()
    assert {"rmse", "rmse_low", "rmse_high", "mae", "r2", "phm_score", "rmse_rul_0_8", "bias_regime_1"} <= set(flat)
    assert all(np.isfinite(v) for v in flat.values())


def test_bands_of_any_size_have_names_that_the_registry_takes() -> None:
    found = rows()
    answers = Answers(found, found.label)
    for cap, name in ((5e6, "rmse_rul_0_1000000"), (2e-4, "rmse_rul_0_0.00004")):
        assert name in evaluate(answers, False, PLAN, FIT, (0, cap), 7).flat()


def test_calibration_bins_say_how_many_failed_of_those_predicted_to() -> None:
    predicted = np.repeat(np.linspace(0.05, 0.95, 10), 100).astype(np.float32)
    truth = (np.tile(np.arange(100), 10) < predicted * 100).astype(np.float32)
    bins = calibration_bins(truth, predicted)
    assert sum(b.rows for b in bins) == 1_000
    assert all(abs(b.predicted - b.observed) < 0.06 for b in bins)
    assert len(calibration_bins(truth, np.full(1_000, 0.5, np.float32))) == 1
