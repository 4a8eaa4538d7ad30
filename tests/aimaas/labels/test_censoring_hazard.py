"""The model of censoring: it is there where readings drive it, gives true shares then, and its answers are probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimaas.fleet import load_fleet
from aimaas.labels.censoring import Censoring, Places, Watched, labelled, landmark_rows, landmarks_of, with_hazard
from aimaas.labels.censoring_hazard import MOST_COLUMNS, PERIODS, Ahead, Landmarks, hazard_of, telling
from aimaas.labels.lifetimes import NEVER
from tests.conftest import FLEETS

MILL = load_fleet(FLEETS / "mill.yaml")
HORIZON, STEP, LIFE = 30, 5, 200


def worn_devices(driven: bool, n: int = 2_000) -> tuple[Any, Censoring, Places, Landmarks, Any]:
    """Memoryless lives; a device whose reading is 1 fails and, where that is `driven`, is taken away four times as soon."""
    rng = np.random.default_rng(6)
    worn = rng.integers(0, 2, n)
    life = np.ceil(rng.exponential(LIFE, n) / np.where(worn, 4, 1)).astype(np.int64)
    watch = (rng.uniform(0, 300, n) / np.where(worn & driven, 4, 1)).astype(np.int64)
    watched, failed = np.minimum(life, watch), life <= watch
    of = np.repeat(np.arange(n), watched // STEP + 1)
    order = np.concatenate([np.arange(0, w + 1, STEP) for w in watched])
    never, zero = np.full(len(of), NEVER), np.zeros(len(of), np.int64)
    places = Places(order, zero, watched[of], np.where(failed, life, NEVER)[of], never, zero > 0)
    features = np.column_stack([worn, rng.normal(size=n)])[of].astype(np.float32)
    task = {"kind": "failure_within", "unit": "operations", "horizon": HORIZON}
    fleet = MILL.model_validate(MILL.model_dump() | {"task": task, "order": "seq"})
    censoring = Censoring.of(fleet, Watched(watched * 0, watched, failed, failed & False))
    chosen = landmark_rows(fleet, places)
    return (
        fleet,
        censoring,
        places,
        landmarks_of(fleet, censoring, places.at(chosen), of[chosen], features[chosen]),
        features,
    )


def test_where_readings_drive_wear_and_censoring_weighted_labels_are_true_for_each_reading() -> None:
    fleet, by_age, places, landmarks, features = worn_devices(driven=True)
    by_readings = with_hazard(fleet, by_age, landmarks, (0, 1))
    assert by_readings.hazard is not None
    worst = {}
    for name, censoring in (("age", by_age), ("readings", by_readings)):
        label, weight = labelled(fleet, censoring, places, features)
        kept = ~np.isnan(label) & (places.order < 40)
        errors = []
        for worn, mean in ((0, LIFE), (1, LIFE / 4)):
            of = kept & (features[:, 0] == worn)
            errors.append(abs(np.average(label[of], weights=weight[of]) - (1 - np.exp(-HORIZON / mean))))
        worst[name] = max(errors)
    assert 2 * worst["readings"] < worst["age"]


def test_where_readings_drive_nothing_there_is_no_model_and_weights_go_by_age() -> None:
    fleet, by_age, places, landmarks, features = worn_devices(driven=False, n=1_000)
    censoring = with_hazard(fleet, by_age, landmarks, (1,))
    assert censoring.hazard is None
    expected, found = labelled(fleet, by_age, places), labelled(fleet, censoring, places, features)
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(expected, found, strict=True))


def test_the_same_landmarks_give_the_same_model() -> None:
    _, _, _, landmarks, features = worn_devices(driven=True, n=1_000)
    once, again = (hazard_of(landmarks, HORIZON / PERIODS, (0, 1)) for _ in range(2))
    assert once is not None and again is not None
    age = np.arange(200.0)
    first, second = (one.ahead(age, age < 0, features[:200]).reached for one in (once, again))
    assert np.array_equal(first, second) and (np.diff(first) > 0).all()


def test_of_many_features_the_trees_look_at_those_that_go_with_being_censored_soon() -> None:
    _, _, _, landmarks, _ = worn_devices(driven=True, n=500)
    noise = np.random.default_rng(1).normal(size=(len(landmarks.age), 40)).astype(np.float32)
    noise[:, 23] = landmarks.features[:, 0]
    noise[:, 24] = 1
    chosen = telling(landmarks._replace(features=noise), HORIZON / PERIODS, tuple(range(40)))
    assert len(chosen) == MOST_COLUMNS and 23 in chosen and list(chosen) == sorted(chosen)


def test_a_landmark_is_the_first_row_of_each_piece_of_a_life() -> None:
    fleet, _, _, _, _ = worn_devices(driven=True, n=10)
    order = np.array(
        [3, 5, 9, 10, 15, 3, 4]
    )  # pieces of 6 from the first row on; then another life that began at the same order
    first = np.full(7, 3)
    places = Places(order, first, order, order, order, order < 0)
    assert landmark_rows(fleet, places).tolist() == [True, False, True, False, True, True, False]


@given(st.lists(st.floats(0.01, 3), min_size=PERIODS, max_size=PERIODS), st.floats(0.05, 0.95))
def test_the_farthest_age_is_where_the_chance_falls_to_the_least(rates: list[float], least: float) -> None:
    age = np.array([100.0])
    ahead = Ahead(10.0, age, np.cumsum([0.0, *rates])[None])
    farthest = ahead.farthest(least)
    if np.isinf(farthest[0]):
        assert ahead.chance(age + 10 * PERIODS)[0] > least
    else:
        assert ahead.chance(farthest)[0] == pytest.approx(least)
    assert ahead.chance(age)[0] == 1
