"""Builds the chosen form from the final model and from the folds' models, and checks it against the rehearsal.

The rehearsal used the first fold's model. The model that ships is another, and a student may learn worse from it. So the form is
compared with the plain export once more, without further trainings of the candidate: the other folds' models predict the devices
that these folds held out, and the final model predicts rows that it learned from. There the distance between form and plain export
must be about as large as in the rehearsal.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from models.compression.forms import Build, Source
from models.compression.trial_data import answers_of, beside_each_other, source_of
from models.evaluation.evaluate import error_of
from models.export.export import Float32, run_onnx
from models.selection.select import Tried
from models.selection.trial_data import TrialData

_MARGIN = 0.01  # of the error, beyond the allowance: these devices are not the devices of the choice
_STRAYS = 2.0  # times as far from the plain export as in the rehearsal
_EQUAL = 1e-4  # of the target's range: smaller differences count as equal
_ROWS = 2_000  # that are compared


@dataclass(frozen=True)
class Made:
    """The final model in a form and predictions of the later folds' models in that form, or why the form does not ship."""

    content: bytes
    answers: list[tuple[Float32, Float32]]
    refused: str = ""


def make(
    trial_data: TrialData, chosen: Tried, rehearsed: tuple[Source, bytes], final: Source, build: Build, allowance: float
) -> Made:
    """Build a form of `final` and of the models of all folds but the first. `rehearsed` is the form's result in the rehearsal."""
    later = [partial(_answered, trial_data, chosen, fold, build) for fold in range(1, len(trial_data.folds))]
    try:
        content, *answers = beside_each_other([partial(build, final), *later])
    except Exception as e:  # noqa: BLE001 - as in the rehearsal: there is another form to ship
        return Made(b"", [], cannot_be_made(e))
    refused = _worse(trial_data, chosen, answers, allowance, hasattr(final.estimator, "predict_proba"))
    return Made(content, answers, refused or _strays(_distance(final, content), _distance(*rehearsed)))


def cannot_be_made(e: Exception) -> str:
    """Return the verdict on a form that could not be built because of an error."""
    said = [*str(e).strip().splitlines(), type(e).__name__]
    return f"cannot be built ({said[0][:120]})"


def _answered(trial_data: TrialData, chosen: Tried, fold: int, build: Build) -> tuple[Float32, Float32]:
    return answers_of(trial_data, build(source_of(trial_data, chosen, fold)), fold)


def _worse(
    trial_data: TrialData, chosen: Tried, answers: list[tuple[Float32, Float32]], allowance: float, classify: bool
) -> str:
    """Why the form is not accurate enough on the devices that the later folds held out; empty if it is."""
    at = np.concatenate([held_out for _, held_out in trial_data.folds[1:]])
    truth, found = trial_data.training.targets[at], np.concatenate([held_out for held_out, _ in answers])
    weights = trial_data.training.at(at).sample_weight
    mine, plain = (error_of(truth, said, classify, weights) for said in (found, chosen.held_out[at]))
    if mine <= plain * (1 + allowance + _MARGIN):
        return ""
    return f"not accurate enough in the other folds ({mine:.5g}, plain {plain:.5g})"


def _strays(final: float, rehearsed: float) -> str:
    """Why the final form differs too much, given its and the rehearsed distance from the plain exports; empty if it does not."""
    if final <= _STRAYS * rehearsed + _EQUAL:
        return ""
    return (
        f"differs from the plain export by {final:.2g} of the target's range, but by {rehearsed:.2g} in the first fold"
    )


def _distance(source: Source, content: bytes) -> float:
    """Return the root mean square difference of a form and the plain export over training rows, as a share of the range."""
    low, high = source.target_range
    learned = source.samples.features
    rows = learned[np.linspace(0, len(learned) - 1, min(_ROWS, len(learned))).astype(np.int64)]
    difference = run_onnx(content, rows).astype(np.float64) - run_onnx(source.plain, rows)
    return float(np.sqrt(np.mean(difference**2))) / (high - low)
