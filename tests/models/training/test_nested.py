"""No row is answered for calibration by a model or a form that was chosen by it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aimaas.settings import Settings
from aimaas.training.report import CandidateReport
from models.compression.choose import Rehearsed, Shipped, Unseen, unseen_forms
from models.promotion.promote import metadata_of
from models.samples import Samples
from models.selection.select import Tried, one_each
from models.selection.trial_data import TrialData
from models.training import train as train_module
from models.training.nested import Contest, nested
from tests.models.conftest import pump_fleet

FOLDS = [(np.arange(4, 8), np.arange(4)), (np.arange(4), np.arange(4, 8))]


def samples(targets: list[float]) -> Samples:
    n = len(targets)
    return Samples(np.zeros((n, 1), np.float32), np.array(targets, np.float32), np.arange(n))


def trial_data(training: list[float], validation: list[float]) -> TrialData:
    return TrialData(samples(training), samples(validation), FOLDS, (0.0, 100.0), 7)


def tried(name: str, cross_validated: float, says: float, by_fold: list[float]) -> Tried:
    """A candidate that says `says` of all training rows, and by each fold's model a number of the two validation rows."""
    report = CandidateReport(name, [cross_validated] * 2, 1.0, 0.0)
    answers = np.repeat(by_fold, 2).reshape(2, 2)
    return Tried(report, np.full(8, says), one_each(list(answers), np.arange(2)), (), answers)


def shipped(of: Tried) -> Shipped:
    """A candidate in a form that says -1 of the first fold's rows and -2 of the validation rows, chosen without these."""
    return Shipped(b"", "small", [], of, Unseen(np.full(4, -1, np.float32), np.full(2, -2, np.float32), "dear"))


def test_each_fold_is_answered_by_the_candidate_that_errs_least_on_the_validation_devices_by_that_folds_model() -> None:
    a, b = tried("a", 1.0, 10.0, [50.0, 30.0]), tried("b", 2.0, 20.0, [40.0, 49.0])
    held_out, validation = nested(Contest([a, b], [a, b]), shipped(a), trial_data([0.0] * 8, [50.0, 50.0]))
    assert held_out.tolist() == [-1.0] * 4 + [20.0] * 4
    assert validation.tolist() == [-2.0] * 2


def test_the_validation_devices_are_answered_by_the_candidate_that_errs_least_over_the_training_folds() -> None:
    a, b = tried("a", 2.0, 10.0, [50.0, 50.0]), tried("b", 1.0, 20.0, [41.0, 42.0])
    held_out, validation = nested(Contest([a, b], [a, b]), shipped(a), trial_data([0.0] * 8, [50.0, 50.0]))
    assert held_out.tolist() == [-1.0] * 4 + [10.0] * 4, "b errs more on the validation devices"
    assert validation.tolist() == [41.0, 42.0], "one fold model for each device"


def test_the_validation_devices_are_answered_in_the_form_that_ships_where_others_choose_it() -> None:
    a = tried("a", 1.0, 10.0, [50.0, 30.0])
    given = replace(shipped(a), form="dear")
    assert nested(Contest([a], [a]), given, trial_data([0.0] * 8, [50.0, 50.0]))[1].tolist() == [50.0, 30.0]


def test_a_fold_whose_settings_had_to_be_others_is_answered_by_models_of_these() -> None:
    a, b = tried("a", 1.0, 10.0, [50.0, 50.0]), tried("b", 2.0, 20.0, [40.0, 40.0])
    own = tried("a", 1.1, 15.0, [49.0, 50.0])  # the second fold would have been given the same settings
    held_out, validation = nested(Contest([a, b], [own, b]), shipped(a), trial_data([0.0] * 8, [50.0, 50.0]))
    assert held_out.tolist() == [15.0] * 4 + [10.0] * 4
    assert validation.tolist() == [-2.0] * 2


def test_a_training_that_searched_calibrates_each_fold_by_settings_that_it_had_no_say_in(
    offline_settings: Settings, training_set: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet, worse = (pump_fleet({"boosting": {"trees": trees}}) for trees in (30, 1))
    folder = training_set(fleet)
    widths: list[tuple[float, float]] = []
    for of_folds in ([fleet, fleet], [worse, worse]):
        monkeypatch.setattr(train_module, "searched", lambda *_, of=of_folds: (fleet, of))
        out = tmp_path / str(len(widths))
        report = train_module.train(offline_settings, fleet, folder, out)
        intervals = metadata_of((out / "model.onnx").read_bytes()).intervals
        assert intervals is not None
        widths.append((max(intervals.upper), report.metrics["rmse"]))
    assert widths[1][0] > widths[0][0] * 1.2, "models of one tree answer for the folds"
    assert widths[1][1] == widths[0][1], "what ships is the same"


def test_a_form_is_not_chosen_by_the_rows_that_it_answers() -> None:
    """The cheap form is perfect on the held-out rows and far off on the validation rows, the dear one the other way round."""
    given = trial_data([50.0] * 8, [50.0, 50.0])
    cheap = Rehearsed("cheap", b"x", np.full(4, 50, np.float32), np.full(2, 90, np.float32))
    dear = Rehearsed("dear", b"x", np.full(4, 91, np.float32), np.full(2, 50, np.float32))
    found = unseen_forms(given, [cheap, dear], {"cheap": 1.0, "dear": 2.0}, False, 0.01)
    assert found.held_out.tolist() == [91.0] * 4, "the validation devices choose the dear form"
    assert found.validation.tolist() == [90.0] * 2, "the held-out devices choose the cheap form"
    assert found.form == "cheap"


def test_of_forms_that_are_within_the_allowance_the_cheapest_answers() -> None:
    given = trial_data([50.0] * 8, [50.0, 50.0])
    cheap = Rehearsed("cheap", b"x", np.full(4, 60.05, np.float32), np.full(2, 60.05, np.float32))
    dear = Rehearsed("dear", b"x", np.full(4, 60, np.float32), np.full(2, 60, np.float32))
    found = unseen_forms(given, [cheap, dear], {"cheap": 1.0, "dear": 2.0}, False, 0.01)
    assert (found.held_out[0], found.validation[0]) == (np.float32(60.05), np.float32(60.05))
