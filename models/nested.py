"""Predictions for calibration by nested cross-validation: neither fitting nor choosing the model that answers has seen the row.

The outer folds are those of the training devices, and the validation devices as one more. For each of them the choice is made
again without its devices. The rows of a training fold are answered by models that were fitted to the other folds, of the
candidate that errs least on the validation devices. Where a search before the training found the settings, they are those that
did best in the other folds (models/search/standing.py), and for these alone models are fitted anew. The validation rows, which no
search sees, are answered by one fold model for each device, of the candidate that errs least over the training folds. The form is
chosen likewise (models/compression/choose.py). Where the choice comes out as another candidate than the one that ships, it
answers in its plain form: what is calibrated is a training, its choice included (Varma, Simon: Bias in error estimation when
using cross-validation for model selection, 2006).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.compression.choose import Shipped
from models.compression.stage import Stage
from models.evaluate import error_of
from models.select import Tried

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Contest:
    """The candidates as they were `tried`, and with settings for each fold that its devices had no say in; the same where nothing
    was searched.
    """

    tried: list[Tried]
    unsearched: list[Tried]


def nested(contest: Contest, shipped: Shipped, stage: Stage) -> tuple[Float64, Float64]:
    """Predictions of a remaining life for the training rows (n,) and for the validation rows (m,)."""
    truth, weights = stage.validation.targets, stage.validation.sample_weight
    ships = _named(contest.tried, shipped.tried.report.name)
    held_out = np.empty(len(stage.training))
    for fold, (_, at) in enumerate(stage.folds):
        errors = [error_of(truth, t.by_fold[fold], False, weights) for t in contest.unsearched]
        best = contest.unsearched[int(np.argmin(errors))]
        if best.report.name != ships.report.name or not np.array_equal(best.by_fold[fold], ships.by_fold[fold]):
            held_out[at] = best.held_out[at]
        else:
            held_out[at] = shipped.unseen.held_out if fold == 0 else shipped.tried.held_out[at]
    best = min(contest.tried, key=lambda t: t.report.cross_validated)
    return held_out, _of_validation(shipped) if best is ships else best.validation


def _of_validation(shipped: Shipped) -> Float64:
    """What the candidate that ships says of the validation rows, in the form that others have chosen."""
    if shipped.unseen.form == shipped.form:
        return shipped.tried.validation
    return shipped.unseen.validation.astype(np.float64)


def _named(tried: Sequence[Tried], name: str) -> Tried:
    return next(t for t in tried if t.report.name == name)
