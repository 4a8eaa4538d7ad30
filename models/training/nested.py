"""Predictions for calibration by nested cross-validation: neither the training nor the choice of the model has seen the row.

The outer folds are the folds of the training devices, and the validation devices as one more. For each outer fold the choice is
made again without its devices. Models that were trained on the other folds predict the rows of a training fold. They belong to the
candidate with the smallest error on the validation devices. If a search before the training found the settings, the settings that
did best in the other folds are used (models/search/standing.py), and only for these new models are trained. The search does not see
the validation rows. For each device of theirs, one fold model of the candidate with the smallest error over the training folds
predicts them. The form is chosen in the same way (models/compression/choose.py). If another candidate is chosen than the one that
ships, it predicts in its plain form: the calibration covers a whole training with its choice (Varma, Simon: Bias in error
estimation when using cross-validation for model selection, 2006).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.compression.choose import Shipped
from models.evaluation.evaluate import error_of
from models.selection.select import Tried
from models.selection.trial_data import TrialData

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Contest:
    """The candidates as they were `tried`, and, for each fold, with settings that its devices did not influence.

    Both are equal without a search.
    """

    tried: list[Tried]
    unsearched: list[Tried]


def nested(contest: Contest, shipped: Shipped, trial_data: TrialData) -> tuple[Float64, Float64]:
    """Return predictions of a remaining life for the training rows (n,) and for the validation rows (m,)."""
    truth, weights = trial_data.validation.targets, trial_data.validation.sample_weight
    ships = _named(contest.tried, shipped.tried.report.name)
    held_out = np.empty(len(trial_data.training))
    for fold, (_, at) in enumerate(trial_data.folds):
        errors = [error_of(truth, t.by_fold[fold], False, weights) for t in contest.unsearched]
        best = contest.unsearched[int(np.argmin(errors))]
        if best.report.name != ships.report.name or not np.array_equal(best.by_fold[fold], ships.by_fold[fold]):
            held_out[at] = best.held_out[at]
        else:
            held_out[at] = shipped.unseen.held_out if fold == 0 else shipped.tried.held_out[at]
    best = min(contest.tried, key=lambda t: t.report.cross_validated)
    return held_out, _of_validation(shipped) if best is ships else best.validation


def _of_validation(shipped: Shipped) -> Float64:
    """Return predictions of the shipping candidate for the validation rows, in the form that other rows have chosen."""
    if shipped.unseen.form == shipped.form:
        return shipped.tried.validation
    return shipped.unseen.validation.astype(np.float64)


def _named(tried: Sequence[Tried], name: str) -> Tried:
    return next(t for t in tried if t.report.name == name)
