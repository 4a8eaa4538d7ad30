"""The form that was chosen, made of the final model and of the folds' models, and held to what was said of it.

The rehearsal is about the first fold's model. What ships is another, from which a student may learn worse. So the form is compared
once more with the plain export, at no training that would not be there anyway: by the other folds' models on the devices that
these held out, and by the final model on rows that it was fitted to, where the distance between the two must be about that of
the rehearsal.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from models.compression.forms import Build, Source
from models.compression.stage import Stage, beside_each_other
from models.evaluate import error_of
from models.export import Float32, run_onnx
from models.select import Tried

_MARGIN = 0.01  # of the error, beyond the allowance: other devices judge than those that chose
_STRAYS = 2.0  # times as far from the plain export as in the rehearsal
_EQUAL = 1e-4  # of the target's range: what differs by less is equal
_ROWS = 2_000  # that are compared


@dataclass(frozen=True)
class Made:
    """The final model in a form, what the later folds' models in that form answer, or why the form does not ship."""

    content: bytes
    answers: list[tuple[Float32, Float32]]
    refused: str = ""


def make(
    stage: Stage, chosen: Tried, rehearsed: tuple[Source, bytes], final: Source, build: Build, allowance: float
) -> Made:
    """Make a form of `final` and of the models of all folds but the first, which was `rehearsed`: it, and its file in that form."""
    later = [partial(_answered, stage, chosen, fold, build) for fold in range(1, len(stage.folds))]
    try:
        content, *answers = beside_each_other([partial(build, final), *later])
    except Exception as e:  # noqa: BLE001 - as in the rehearsal: there is another form to ship
        return Made(b"", [], cannot_be_made(e))
    refused = _worse(stage, chosen, answers, allowance, hasattr(final.estimator, "predict_proba"))
    return Made(content, answers, refused or _strays(_distance(final, content), _distance(*rehearsed)))


def cannot_be_made(e: Exception) -> str:
    """The verdict on a form whose making ended with an error."""
    said = [*str(e).strip().splitlines(), type(e).__name__]
    return f"cannot be made ({said[0][:120]})"


def _answered(stage: Stage, chosen: Tried, fold: int, build: Build) -> tuple[Float32, Float32]:
    return stage.answers(build(stage.source(chosen, fold)), fold)


def _worse(
    stage: Stage, chosen: Tried, answers: list[tuple[Float32, Float32]], allowance: float, classify: bool
) -> str:
    """Why the form is not accurate enough on the devices that the later folds held out; empty where it is."""
    at = np.concatenate([held_out for _, held_out in stage.folds[1:]])
    truth, found = stage.training.targets[at], np.concatenate([held_out for held_out, _ in answers])
    weights = stage.training.at(at).sample_weight
    mine, plain = (error_of(truth, said, classify, weights) for said in (found, chosen.held_out[at]))
    if mine <= plain * (1 + allowance + _MARGIN):
        return ""
    return f"not accurate enough in the other folds ({mine:.5g}, plain {plain:.5g})"


def _strays(final: float, rehearsed: float) -> str:
    """Why the final form is not what was judged, given the distances of both from their plain exports; empty where it is."""
    if final <= _STRAYS * rehearsed + _EQUAL:
        return ""
    return f"differs from the plain export by {final:.2g} of the target's range, in the rehearsal by {rehearsed:.2g}"


def _distance(source: Source, content: bytes) -> float:
    """Between a form and the plain export, over rows that the model was fitted to: root mean square, as a share of the range."""
    low, high = source.target_range
    learned = source.samples.features
    rows = learned[np.linspace(0, len(learned) - 1, min(_ROWS, len(learned))).astype(np.int64)]
    difference = run_onnx(content, rows).astype(np.float64) - run_onnx(source.plain, rows)
    return float(np.sqrt(np.mean(difference**2))) / (high - low)
