from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from models.evaluation.evaluate import metrics_of
from models.evaluation.paired_test import compare, p_value_of
from tests.models.guesses import DEVICES, TRUTH, guess


def test_a_model_that_is_better_on_every_device_has_a_p_value_far_below_that_of_any_night() -> None:
    found = compare(TRUTH, guess(0.9), guess(), DEVICES, False, 0.0)
    assert found.challenger == pytest.approx(metrics_of(TRUTH, guess(0.9), False)["rmse"])
    assert found.challenger < found.champion and found.devices == 30
    assert found.p_value < 1e-6


@pytest.mark.parametrize("classify", [False, True])
def test_a_model_that_is_better_by_just_the_improvement_passes_in_half_of_the_cases(classify: bool) -> None:
    champion = np.random.default_rng(1).gamma(2, 1, 40)
    left = 0.8 if classify else 0.8**2
    noise = np.random.default_rng(2).normal(0, 0.1, 40)
    better = champion * left + noise - noise.mean()
    assert p_value_of(better, champion, classify, 0.2) == pytest.approx(0.5)
    assert p_value_of(better, champion, classify, 0.0) < 0.001


def test_the_p_value_is_that_of_scipys_t_test() -> None:
    mine, other = np.random.default_rng(3).gamma(2, 1, (2, 25))
    wanted = ttest_1samp(other - mine, 0, alternative="greater").pvalue
    assert p_value_of(mine, other, True, 0.0) == pytest.approx(wanted)


def test_equal_models_whose_errors_have_heavy_tails_are_rarely_far_apart() -> None:
    pairs = np.random.default_rng(4).lognormal(0, 1.5, (4_000, 2, 20))
    found = [p_value_of(mine, other, True, 0.0) for mine, other in pairs]
    assert np.mean(np.array(found) < 0.01) < 0.01
    assert 0.4 < np.mean(found) < 0.6


def test_a_model_is_never_better_than_itself_and_one_device_says_nothing() -> None:
    assert compare(TRUTH, guess(), guess(), DEVICES, False, 0.0).p_value == 1.0
    assert compare(TRUTH, guess(0.5), guess(), np.zeros(len(TRUTH)), False, 0.0).p_value == 1.0


def test_a_model_that_is_better_by_the_same_on_every_device_is_surely_better() -> None:
    assert p_value_of(np.ones(9), np.full(9, 2.0), True, 0.0) == 0.0
