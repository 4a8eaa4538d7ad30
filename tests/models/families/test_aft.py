"""Accelerated failure time: it ships equal to XGBoost's own answers, and learns what censored lives tell."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimaas.settings import Settings
from models.export.export import export, parity
from models.families.aft_distributions import DISTRIBUTIONS, most_likely_scale, null_model
from models.families.candidates import candidates_of, predict
from models.lives import Lives, lives_of_labels
from models.samples import Samples
from models.selection.select import fit_chosen
from models.task import target_range
from models.training.train import train
from tests.models.conftest import CAP, pump_fleet

MakeSet = Callable[..., Path]
HORIZON = 10  # of the pumps


@pytest.mark.parametrize("classify", [False, True])
def test_it_trains_and_ships_equal_to_the_trees_as_xgboost_runs_them(
    offline_settings: Settings, training_set: MakeSet, tmp_path: Path, classify: bool
) -> None:
    fleet = pump_fleet({"aft": {"trees": 40}}, classify)
    report = train(offline_settings, fleet, training_set(fleet), tmp_path / "trained")
    assert report.metrics["parity_max_rel"] <= 1e-5 and report.metrics["parity_max_rel_probes"] <= 1e-5
    assert report.metrics["rmse"] < report.metrics["baseline_rmse"]


def test_a_blend_with_it_is_one_file(offline_settings: Settings, training_set: MakeSet, tmp_path: Path) -> None:
    fleet = pump_fleet({"aft": {"trees": 30}, "boosting": {"trees": 30}, "blend": {}})
    candidates, samples = candidates_of(fleet), _memoryless(300)[0]
    blend = fit_chosen(candidates, "blend", samples, 7)
    content = export(blend, 2, target_range(fleet))
    assert parity(content, blend, samples.features, target_range(fleet)).max_rel <= 1e-5


@pytest.mark.parametrize("classify", [False, True])
@pytest.mark.parametrize("distribution", list(DISTRIBUTIONS))
def test_every_distribution_ships_equal_far_out_too(distribution: str, classify: bool) -> None:
    fleet = pump_fleet({"aft": {"trees": 20, "distribution": distribution}}, classify)
    samples = _memoryless(400, classify)[0]
    model = fit_chosen(candidates_of(fleet), "aft", samples, 7)
    rows = np.concatenate(
        [samples.features, 1e6 * samples.features, np.array([[np.finfo(np.float32).max, 0]], np.float32)]
    )
    content = export(model, 2, target_range(fleet))
    assert parity(content, model, rows.astype(np.float32), target_range(fleet)).max_rel <= 1e-5


def _memoryless(n: int, classify: bool = True, mean: float = 25.0) -> tuple[Samples, float]:
    """Lives that fail at random, half of which are lost sight of; labels as plain rules give them, and the true answer."""
    rng = np.random.default_rng(4)
    life, watch = np.ceil(rng.exponential(mean, n)), np.floor(rng.uniform(0, 2 * HORIZON, n))
    failed, farthest = life <= watch, HORIZON if classify else CAP
    known = failed | (watch >= farthest)
    label = (life <= farthest) if classify else np.minimum(life, farthest)
    features, devices = rng.normal(size=(n, 2)).astype(np.float32), np.arange(n).astype(str)
    lives = Lives(features, devices, np.where(failed, life, watch), np.where(failed, life, np.inf), np.ones(n))
    truth = 1 - np.exp(-HORIZON / mean) if classify else mean * (1 - np.exp(-CAP / mean))
    return Samples(features[known], label[known].astype(np.float32), devices[known], lives=lives), float(truth)


def test_lives_that_were_lost_sight_of_make_its_answers_true_where_labels_alone_are_not() -> None:
    fleet = pump_fleet({"aft": {"trees": 20, "min_rows": 200}}, classify=True)
    samples, truth = _memoryless(4_000)
    found = predict(fit_chosen(candidates_of(fleet), "aft", samples, 7), samples.features)
    labels_alone = Samples(samples.features, samples.targets, samples.devices)
    misled = predict(fit_chosen(candidates_of(fleet), "aft", labels_alone, 7), samples.features)
    assert found.mean() == pytest.approx(truth, abs=0.03)
    assert misled.mean() > truth + 0.1


def test_the_same_seed_gives_the_same_bytes() -> None:
    fleet = pump_fleet({"aft": {"trees": 20}}, classify=True)
    samples = _memoryless(400)[0]
    once, again = (export(fit_chosen(candidates_of(fleet), "aft", samples, 7), 2, (0.0, 1.0)) for _ in range(2))
    assert once == again


def test_a_fold_learns_from_no_row_of_a_device_that_it_is_judged_by() -> None:
    samples = _memoryless(100)[0]
    fitted = np.arange(len(samples)) % 3 > 0
    lives = samples.at(fitted).lives
    assert lives is not None and samples.lives is not None
    assert not set(lives.devices) & set(samples.devices[~fitted])
    without_label = set(samples.lives.devices) - set(samples.devices)
    assert without_label and without_label <= set(lives.devices)


@pytest.mark.parametrize(("farthest", "classify"), [(10.0, True), (10.0, False)])
def test_labels_alone_give_bounds_that_agree_with_the_task(farthest: float, classify: bool) -> None:
    label = np.array([1, 0] if classify else [4, 10], np.float32)
    samples = Samples(np.zeros((2, 1), np.float32), label, np.array(["a", "b"]))
    lives = lives_of_labels(samples, farthest, classify).stopped(farthest, exclusive=classify)
    assert lives.lower.tolist() == ([0, 10] if classify else [3.5, 10])
    assert lives.upper.tolist() == ([10, np.inf] if classify else [4.5, np.inf])


def test_what_was_censored_at_its_row_tells_nothing() -> None:
    lives = Lives(
        np.zeros((3, 1), np.float32), np.array(["a", "b", "c"]), np.zeros(3), np.array([0, np.inf, 0.0]), np.ones(3)
    )
    assert lives.stopped(10, exclusive=True).devices.tolist() == ["a", "c"]


@given(st.sampled_from(list(DISTRIBUTIONS)), st.floats(0.001, 0.999))
def test_a_quantile_is_where_the_probability_is_reached(name: str, p: float) -> None:
    distribution = DISTRIBUTIONS[name]
    assert distribution.below(distribution.quantile(np.array([p])))[0] == pytest.approx(p)


def test_the_null_model_finds_mean_and_scale_of_censored_lives() -> None:
    rng, n = np.random.default_rng(1), 5_000
    life, watch = np.exp(3 + 0.5 * rng.normal(size=n)), rng.uniform(0, 60, n)
    failed = life <= watch
    lower, upper = np.where(failed, life - 0.01, watch), np.where(failed, life, np.inf)
    lives = Lives(np.zeros((n, 1), np.float32), np.arange(n).astype(str), lower, upper, np.ones(n))
    normal: Any = DISTRIBUTIONS["normal"]
    assert null_model(normal, lives) == pytest.approx((3, 0.5), abs=0.03)
    assert most_likely_scale(normal, lives, 3.0) == pytest.approx(0.5, abs=0.03)


def test_a_scorer_does_not_import_xgboost() -> None:
    code = "import sys, stream.scorer.loop, stream.service.app; sys.exit('xgboost' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=300).returncode == 0
