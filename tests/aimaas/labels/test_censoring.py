"""Weights: exactly 1 without censoring, true shares with it, and what is cut."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from aimaas.fleet import FleetSpec, load_fleet
from aimaas.labels.censoring import LEAST, Censoring, Curve, Places, Watched, labelled
from aimaas.labels.lifetimes import NEVER, labels
from tests.conftest import FLEETS

MILL = load_fleet(FLEETS / "mill.yaml")
HOUR = 3_600_000_000  # microseconds


def fleet_of(kind: str, needed: float, order: str = "seq") -> FleetSpec:
    unit = "operations" if order == "seq" else "hours"
    task = {"kind": kind, "unit": unit, ("cap" if kind == "remaining_useful_life" else "horizon"): needed}
    return MILL.model_validate(MILL.model_dump() | {"task": task, "order": order})


def rows_of(life: Any, follow_up: Any, begins: Any = 0, step: int = 1) -> tuple[Watched, Places]:
    """Lives that fail at the age `life` unless the `follow_up` ends before, with a row at each `step`."""
    begins = np.broadcast_to(begins, len(life))
    failed, watched = life <= follow_up, np.minimum(life, follow_up)
    ages = [np.arange(0, w + 1, step) for w in watched]
    of = np.repeat(np.arange(len(life)), [len(a) for a in ages])
    newest = np.array([a[-1] for a in ages])
    until = np.where(failed, life, newest)
    lives = Watched(begins, begins + until, failed, np.zeros(len(life), np.bool_))
    failure = np.where(failed, begins + life, NEVER)[of]
    first, order = begins[of], begins[of] + np.concatenate(ages)
    never = np.full(len(of), NEVER)
    return lives, Places(order, first, (begins + newest)[of], failure, never, np.zeros(len(of), np.bool_))


@pytest.mark.parametrize("kind", ["failure_within", "remaining_useful_life"])
def test_where_every_device_runs_to_failure_all_rows_are_kept_and_weigh_exactly_1(kind: str) -> None:
    life = np.random.default_rng(1).integers(1, 300, 200)
    fleet, (watched, places) = fleet_of(kind, 30), rows_of(life, np.full(200, 10_000))
    label, weight = labelled(fleet, Censoring.of(fleet, watched), places)
    assert (weight == 1).all()
    assert np.array_equal(label, labels(fleet, places.order, places.newest, places.failure, places.end))


def test_weighted_labels_of_a_memoryless_fleet_are_true_at_every_age_where_plain_ones_are_not() -> None:
    rng, mean, horizon = np.random.default_rng(3), 300, 30
    life = rng.geometric(1 / mean, 20_000)
    fleet, follow_up = fleet_of("failure_within", horizon), rng.integers(0, 300, len(life))
    watched, places = rows_of(life, follow_up, step=10)
    label, weight = labelled(fleet, Censoring.of(fleet, watched), places)
    plain = labels(fleet, places.order, places.newest, places.failure, places.end)
    true = 1 - (1 - 1 / mean) ** horizon
    for age in (0, 100, 200):
        at = (places.order == age) & ~np.isnan(label)
        assert np.average(label[at], weights=weight[at]) == pytest.approx(true, abs=0.02)
    late = (places.order == 260) & ~np.isnan(plain)
    assert plain[late].mean() > 2 * true


def test_rows_that_nobody_watched_for_a_horizon_are_cut_whatever_their_outcome() -> None:
    life = np.random.default_rng(1).geometric(1 / 1000, 1_000)
    fleet, (watched, places) = fleet_of("failure_within", 30), rows_of(life, np.full(1_000, 365))
    label, weight = labelled(fleet, Censoring.of(fleet, watched), places)
    kept = ~np.isnan(label)
    assert places.order[kept].max() == 335
    assert (weight[kept] == 1).all()
    cut = (weight == 0) & (places.failure != NEVER)
    assert (places.order[cut] > 335).all() and cut.any()


def test_the_longest_living_device_alone_does_not_cut_the_rows_of_all_others() -> None:
    life = np.append(np.random.default_rng(2).integers(150, 250, 99), 400)
    fleet, (watched, places) = fleet_of("remaining_useful_life", 125), rows_of(life, np.append(np.full(99, 999), 300))
    label, _ = labelled(fleet, Censoring.of(fleet, watched), places)
    near_failure = (places.failure - places.order < 10) & (places.order < 240)
    assert not np.isnan(label[near_failure & (places.order < 200)]).any()


def test_no_row_weighs_more_than_the_least_probability_allows() -> None:
    rng = np.random.default_rng(5)
    fleet = fleet_of("failure_within", 30)
    watched, places = rows_of(rng.geometric(1 / 50, 3_000), rng.integers(0, 60, 3_000))
    _, weight = labelled(fleet, Censoring.of(fleet, watched), places)
    assert 2 < np.nanmax(weight) <= 1 / LEAST


def test_where_most_devices_live_at_the_end_of_observation_its_time_cuts_and_no_row_needs_a_weight() -> None:
    rng, now = np.random.default_rng(4), 1_000 * HOUR
    begins = rng.integers(0, 900, 2_000) * HOUR
    life = rng.geometric(1 / 500, 2_000) * HOUR
    fleet = fleet_of("failure_within", 40, "ts")
    watched, places = rows_of(life, now - begins, begins, step=4 * HOUR)
    censoring = Censoring.of(fleet, watched)
    label, weight = labelled(fleet, censoring, places)
    assert censoring.clock == "calendar"
    assert (weight[~np.isnan(label)] == 1).all()
    assert places.order[~np.isnan(label)].max() <= now - 40 * HOUR
    assert label[~np.isnan(label)].mean() == pytest.approx(1 - (1 - 1 / 500) ** 40, abs=0.01)


def test_lives_after_an_outcome_have_a_censoring_of_their_own() -> None:
    """A few rows that a device sends after its failure are censored lives, which say nothing of the lives before."""
    fleet, n = fleet_of("failure_within", 5), 50
    first = np.concatenate([np.zeros(n, np.int64), np.full(n, 101)])
    until, failed = np.concatenate([np.full(n, 100), np.full(n, 102)]), np.arange(2 * n) < n
    censoring = Censoring.of(fleet, Watched(first, until, failed, ~failed))
    order = np.arange(101)
    places = Places(order, order * 0, order * 0 + 100, order * 0 + 100, order * 0 + NEVER, order < 0)
    assert (labelled(fleet, censoring, places)[1] == 1).all()


def test_kaplan_meier_is_that_of_the_textbook() -> None:
    curve = Curve.of(np.array([6.0, 6, 6, 7, 10]), np.array([6, 6, 6, 6, 7, 9, 10, 10, 11, 17]))
    assert curve.beyond(np.array([5.0, 6, 7, 10])) == pytest.approx([1, 0.7, 0.7 * 5 / 6, 0.7 * 5 / 6 * 3 / 4])
    assert curve.reaching(np.array([6.0, 7])) == pytest.approx([1, 0.7])
    assert curve.farthest(np.array([0.65, 0.58, 0.1])).tolist() == [7, 10, np.inf]
