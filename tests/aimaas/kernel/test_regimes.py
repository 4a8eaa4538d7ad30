"""What settings explain, told apart from what they do not."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from aimaas.fleet import find_fleet
from aimaas.kernel.fit import Fit, channel_matrix, finish, moments
from aimaas.kernel.plan import FeaturePlan, plan_of
from aimaas.kernel.regimes import find_regimes
from tests.aimaas.kernel.test_fit import CONDITIONS, flights
from tests.conftest import FLEETS

Matrix = npt.NDArray[np.float64]
RANGE = np.array([42, 0.84, 40])


@pytest.fixture(scope="module")
def plan() -> FeaturePlan:
    return plan_of(find_fleet(FLEETS, "turbofan"))


def test_the_six_flight_conditions_are_told_apart_and_jitter_is_not(plan: FeaturePlan) -> None:
    found = find_regimes(plan, flights(CONDITIONS), 7)
    np.testing.assert_allclose(found.centres, CONDITIONS, atol=0.01)
    assert len(find_regimes(plan, flights(CONDITIONS[:1]), 7).centres) == 1


def test_regimes_depend_on_the_seed_and_rows_only(plan: FeaturePlan) -> None:
    first, second = (find_regimes(plan, flights(CONDITIONS), 7) for _ in range(2))
    assert first.centres.tobytes() == second.centres.tobytes()


def test_constant_settings_and_few_rows_give_one_regime(plan: FeaturePlan) -> None:
    assert len(find_regimes(plan, np.ones((50, 24)), 7).centres) == 1
    assert len(find_regimes(plan, np.ones((1, 24)), 7).centres) == 1
    assert len(find_regimes(plan, np.full((5, 24), np.nan), 7).centres) == 1


def worn(settings: Matrix, seed: int = 0) -> tuple[Matrix, Matrix]:
    """Rows whose sensors answer to the settings by curves, to wear (n,) and to noise, all independent; and the wear."""
    r = np.random.default_rng(seed)
    altitude, mach, throttle = ((settings - [0, 0, 60]) / RANGE).T
    answers = [
        60 * altitude,
        50 * np.exp(-altitude) + 20 * mach,
        30 * throttle * (1 + 0.3 * mach),
        20 * mach**2 + 10 * altitude,
    ]
    wear = r.random(len(settings))
    sensors = [answers[i % 4] + 3 * wear + r.normal(0, 0.2, len(wear)) for i in range(21)]
    return np.column_stack([settings, *sensors]), wear


def normalised(plan: FeaturePlan, fit: Fit, rows: Matrix) -> Matrix:
    """Channels (n, C) as the fit normalises them."""
    of = np.argmin((((rows[:, None, :3] - np.array(fit.centres)) * fit.weights) ** 2).sum(axis=2), axis=1)
    beside = rows[:, :3] - np.array(fit.centres)[of]
    lines = np.einsum("ns,nsc->nc", beside, np.array(fit.slopes)[of]) if fit.slopes else 0
    found: Matrix = (channel_matrix(plan, rows) - np.array(fit.means)[of] - lines) * np.array(fit.scales)[of]
    return found


KINDS: dict[str, Callable[[np.random.Generator, int], Matrix]] = {
    "continuous": lambda r, n: r.random((n, 3)) * RANGE + [0, 0, 60],
    "loose clusters": lambda r, n: CONDITIONS[r.integers(0, 6, n)] + r.normal(0, 0.05, (n, 3)) * RANGE,
    "one of them continuous": lambda r, n: np.column_stack([r.random(n) * 42, np.full(n, 0.5), np.full(n, 100.0)]),
    "tight clusters": lambda r, n: CONDITIONS[r.integers(0, 6, n)] + r.normal(0, 1e-4, (n, 3)) * RANGE,
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_settings_do_is_taken_out_and_wear_stays(plan: FeaturePlan, kind: str) -> None:
    settings = KINDS[kind](np.random.default_rng(3), 6000)
    rows, wear = worn(settings)
    learned, judged = rows[::2], rows[1::2]
    regimes = find_regimes(plan, learned, 7)
    fit = finish(regimes, [moments(plan, regimes, np.zeros(21), learned)])
    z = normalised(plan, fit, judged)
    assert (regimes.slopes is None) == (kind == "tight clusters")
    for s in np.flatnonzero(settings.std(axis=0) > 0):
        assert np.abs([np.corrcoef(judged[:, s], z[:, c])[0, 1] for c in range(21)]).max() < 0.15
    before = np.mean([np.corrcoef(wear[1::2], judged[:, 3 + c])[0, 1] for c in range(21)])
    after = np.mean([np.corrcoef(wear[1::2], z[:, c])[0, 1] for c in range(21)])
    assert before < 0.4
    assert after > 0.8
    assert fit.explained is not None
    assert 0.6 < fit.explained < 1


def test_settings_that_explain_nothing_leave_one_regime_without_lines(plan: FeaturePlan) -> None:
    rows, _ = worn(KINDS["continuous"](np.random.default_rng(3), 6000))
    rows[:, 3:] = np.random.default_rng(4).normal(size=(6000, 21))
    found = find_regimes(plan, rows, 7)
    assert (len(found.centres), found.slopes, found.explained) == (1, None, None)


def test_a_fleet_of_one_regime_gets_lines_too(plan: FeaturePlan) -> None:
    rows, _ = worn(KINDS["one of them continuous"](np.random.default_rng(3), 6000))
    found = find_regimes(msgspec.structs.replace(plan, max_regimes=1), rows, 7)
    assert found.slopes is not None
    assert found.slopes.shape == (1, 3, 21)
    assert not found.slopes[:, 1:].any(), "settings that never change have no slope"


def test_nulls_leave_the_lines_of_all_channels_as_they_are(plan: FeaturePlan) -> None:
    rows, _ = worn(KINDS["continuous"](np.random.default_rng(3), 4000))
    missing = rows.copy()
    missing[::3, 10] = np.nan
    missing[:, 20] = np.nan
    whole, found = (find_regimes(plan, r, 7) for r in (rows, missing))
    assert whole.slopes is not None
    assert found.slopes is not None
    assert not found.slopes[:, :, 17].any()
    np.testing.assert_allclose(found.slopes[:, :, 7], whole.slopes[:, :, 7], rtol=0.3, atol=0.5)
    np.testing.assert_array_equal(found.slopes[:, :, 3], whole.slopes[:, :, 3])


@pytest.mark.parametrize("n", [1, 2, 5, 30])
def test_few_rows_give_no_lines(plan: FeaturePlan, n: int) -> None:
    rows, _ = worn(KINDS["continuous"](np.random.default_rng(3), n))
    assert find_regimes(plan, rows, 7).slopes is None
