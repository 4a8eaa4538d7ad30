from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from aimaas.fleet import find_fleet
from aimaas.kernel.fit import Fit, Moments, Regimes, finish, moments
from aimaas.kernel.plan import FeaturePlan, plan_of
from aimaas.kernel.regimes import find_regimes
from tests.conftest import FLEETS

# the six flight conditions of C-MAPSS FD002 (altitude, Mach number, throttle) and their jitter
CONDITIONS = np.array([[0, 0, 100], [10, 0.25, 100], [20, 0.7, 100], [25, 0.62, 60], [35, 0.84, 100], [42, 0.84, 100]])
JITTER = np.array([0.003, 0.0005, 0])


@pytest.fixture(scope="module")
def plan() -> FeaturePlan:
    return plan_of(find_fleet(FLEETS, "turbofan"))


def flights(conditions: npt.NDArray[Any], n: int = 6000) -> npt.NDArray[np.float64]:
    r = np.random.default_rng(0)
    of = r.integers(0, len(conditions), n)
    settings = conditions[of] + r.normal(0, 1, (n, 3)) * JITTER
    return np.hstack([settings, 1000 + 100 * of[:, None] + r.normal(0, 1, (n, 21))])


def test_rows_with_null_settings_belong_to_no_regime(plan: FeaturePlan) -> None:
    rows = flights(CONDITIONS)
    rows[::10, 1] = np.nan
    found = find_regimes(plan, rows, 7)
    assert len(found.centres) == 6
    assert moments(plan, found, np.zeros(21), rows).count[:, 0].sum() == 5400


def test_moments_merged_in_parts_are_numpys_mean_and_deviation(plan: FeaturePlan) -> None:
    rows = flights(CONDITIONS)
    regimes = find_regimes(plan, rows, 7)
    rows[::7, 5] = np.nan
    shift = np.nanmean(rows[:, 3:], axis=0)
    fit = finish(regimes, [moments(plan, regimes, shift, rows[i::3]) for i in range(3)])
    of = regimes.assign(rows[:, :3])
    for g in range(6):
        np.testing.assert_allclose(fit.means[g], np.nanmean(rows[of == g, 3:], axis=0), rtol=1e-6)
        np.testing.assert_allclose(1 / np.array(fit.scales[g]), np.nanstd(rows[of == g, 3:], axis=0), rtol=1e-5)


def test_a_steady_channel_is_scaled_to_nothing(plan: FeaturePlan) -> None:
    rows = flights(CONDITIONS[:1])
    rows[:, 3] = 518.67
    regimes = find_regimes(plan, rows, 7)
    fit = finish(regimes, [moments(plan, regimes, np.zeros(21), rows)])
    assert fit.scales[0][0] == 0
    assert fit.scales[0][1] > 0


def test_a_regime_that_no_row_fell_into_is_scaled_to_nothing() -> None:
    empty = np.zeros((2, 1))
    regimes = Regimes(np.zeros((2, 1), np.float32), np.ones(1, np.float32))
    assert finish(regimes, [Moments(empty, empty, empty, np.zeros(1))]).scales == ((0.0,), (0.0,))


def test_the_lines_of_the_settings_are_out_of_the_moments(plan: FeaturePlan) -> None:
    rows = flights(CONDITIONS[:1])
    rows[:, 0] = np.random.default_rng(1).uniform(0, 40, len(rows))
    rows[:, 3:] += 5 * rows[:, :1]
    rows[::7, 5] = np.nan
    regimes = find_regimes(plan, rows, 7)
    fit = finish(regimes, [moments(plan, regimes, np.zeros(21), rows[i::3]) for i in range(3)])
    np.testing.assert_allclose(np.array(fit.slopes)[:, 0], 5, rtol=0.01)
    np.testing.assert_allclose(1 / np.array(fit.scales), 1, rtol=0.05)  # what is left is the noise of `flights`
    assert msgspec.json.decode(msgspec.json.encode(fit), type=Fit) == fit


def test_plan_and_fit_come_back_from_json_with_the_same_identity(plan: FeaturePlan) -> None:
    regimes = find_regimes(plan, flights(CONDITIONS), 7)
    fit = finish(regimes, [moments(plan, regimes, np.zeros(21), flights(CONDITIONS))])
    assert msgspec.json.decode(msgspec.json.encode(fit), type=Fit).id == fit.id
    assert msgspec.json.decode(msgspec.json.encode(plan), type=FeaturePlan).hash == plan.hash
    assert msgspec.structs.replace(plan, first=4).hash != plan.hash
