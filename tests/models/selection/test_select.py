"""The choice among candidates: by what one model of a candidate does on devices that it has not seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from models.evaluation.evaluate import error_of
from models.families.candidates import Candidate
from models.samples import Samples
from models.selection.select import Tried, cross_validate, grouped_folds, one_each
from models.selection.trial_data import TrialData

RANGE, FOLDS = (0.0, 100.0), 4


class Off:
    """A model that knows the truth, which is its first feature, and is `by` off."""

    def __init__(self, by: float) -> None:
        self._by = by

    def predict(self, features: Any) -> Any:
        return features[:, 0].astype(np.float64) + self._by


def samples(first: int, devices: int) -> Samples:
    truth = np.tile(np.linspace(30, 70, 10, dtype=np.float32), devices)
    names = np.repeat([f"d{i:03d}" for i in range(first, first + devices)], 10)
    return Samples(truth[:, None], truth, names)


def tried(validation: Samples, classify: bool = False) -> dict[str, Tried]:
    """Two candidates: `steady` is always 5 off, `wild` 8 in one direction or the other, by the fold."""
    training, turn = samples(0, 12), iter([8.0, -8.0, 8.0, -8.0])
    wild = dict(zip(range(FOLDS), turn, strict=True))

    def fit_wild(of: Samples, _: int) -> Any:  # in several threads at once
        folds = [frozenset(training.devices[fitted]) for fitted, _ in cut]
        return Off(wild[folds.index(frozenset(of.devices))])

    cut = grouped_folds(training, FOLDS, 7, False)
    candidates = [
        Candidate("wild", fit_wild),
        Candidate("steady", lambda *_: Off(5.0)),
        Candidate("both", None, ("wild", "steady")),
    ]
    found = cross_validate(candidates, TrialData(training, validation, cut, RANGE, 7), classify)
    return {t.report.name: t for t in found}


def test_a_candidate_whose_models_err_in_turn_is_not_chosen_because_their_mean_is_right() -> None:
    validation = samples(100, 9)
    found = tried(validation)

    assert found["steady"].report.validation == pytest.approx(5)
    assert found["wild"].report.validation == pytest.approx(8), "the mean of the four models would be 0 off"
    assert found["both"].report.validation == pytest.approx(np.sqrt((6.5**2 + 1.5**2) / 2)), (
        "an ensemble is judged fold by fold"
    )


def test_each_validation_device_is_answered_by_one_fold_model_and_all_of_them_have_their_share() -> None:
    validation = samples(100, 9)
    wild = tried(validation)["wild"]

    off = (wild.validation - validation.targets).reshape(9, 10)
    assert np.all(np.abs(np.abs(off) - 8) < 1e-4)
    assert np.all(off == off[:, :1]), "one model for all rows of a device"
    assert {round(float(x)) for x in off[:, 0]} == {8, -8}
    assert error_of(validation.targets, wild.validation, False) == pytest.approx(wild.report.validation)


def test_weights_of_rows_count_in_the_choice() -> None:
    validation = samples(100, 4)
    weight = np.ones(40, np.float32)
    weight[:10] = 3
    weighted = Samples(validation.features, validation.targets, validation.devices, weight)
    off = np.where(np.arange(40) < 10, 2.0, 1.0)
    truth = validation.targets.astype(np.float64)
    answers = [truth + off, truth - off]

    dealt = one_each(answers, weighted.devices)

    assert error_of(weighted.targets, dealt, False, weighted.sample_weight) == pytest.approx(np.sqrt((3 * 4 + 3) / 6))
