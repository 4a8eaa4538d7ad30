"""The learning curves of a trained model, if it has any."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import msgspec
import numpy as np

from aimaas.training.report import LearningCurve
from models.evaluation.evaluate import error_of
from models.families.candidates import Candidate
from models.families.scikit import Estimator
from models.families.vector_only import VectorOnly
from models.samples import Samples
from models.selection.select import Tried

_MOST_ROWS = 2_000  # predicted once for each tree: a curve needs no more


def with_curves(
    candidates: Sequence[Candidate], tried: Sequence[Tried], validation: Samples, classify: bool
) -> list[Tried]:
    """Return the reports with the learning curves of the first fold's models; ensembles have their members' curves.

    `tried` are in the order of the candidates. A network's curve is its loss on the devices that it held out. Boosting's curve is
    its error on at most 2,000 rows of the validation devices, which no fold model has seen.
    """
    few = validation.at(np.unique(np.linspace(0, len(validation) - 1, _MOST_ROWS).astype(np.int64)))

    def one(candidate: Candidate, of: Tried) -> Tried:
        if candidate.fit is None:
            return of
        curves = learning_curves(candidate.name, of.estimators[0], few, classify, "validation devices")
        return replace(of, report=msgspec.structs.replace(of.report, curves=curves))

    return [one(c, t) for c, t in zip(candidates, tried, strict=True)]


def learning_curves(
    name: str, estimator: Estimator, unseen: Samples, classify: bool, whose: str = "test devices"
) -> list[LearningCurve]:
    """Return curves of an estimator and of the members of a blend; none for a model that is trained in one step.

    A network's curve is its loss on the devices that it held out to know when to stop. Boosting's curve is its error on `unseen`,
    the rows of the devices `whose`.
    """
    return [c for part in _parts(name, estimator, unseen) if (c := _curve(*part, classify, whose)) is not None]


def _parts(name: str, estimator: Estimator, unseen: Samples) -> Iterator[tuple[str, Estimator, Samples]]:
    if isinstance(estimator, VectorOnly):
        yield from _parts(name, estimator.inner, unseen.first(estimator.width))
    elif hasattr(estimator, "named_estimators"):  # a blend
        for (part, _), fitted in zip(estimator.estimators, estimator.estimators_, strict=True):
            yield from _parts(f"{name} {part}", fitted, unseen)
    else:
        yield name, estimator[-1] if hasattr(estimator, "named_steps") else estimator, unseen


def _curve(name: str, model: Estimator, unseen: Samples, classify: bool, whose: str) -> LearningCurve | None:
    if hasattr(model, "held_out_losses_"):
        return LearningCurve(name, "epoch", "loss on held-out devices", tuple(model.held_out_losses_))
    if hasattr(model, "staged_predict"):
        kind = "log loss" if classify else "RMSE"
        return LearningCurve(name, "tree", f"{kind} on {whose}", tuple(_staged(model, unseen, classify)))
    return None


def _staged(model: Estimator, unseen: Samples, classify: bool) -> Iterator[float]:
    stages = model.staged_predict_proba if classify else model.staged_predict
    for answer in stages(unseen.features):
        predicted = answer[:, 1] if classify else answer
        yield error_of(unseen.targets, predicted, classify, unseen.sample_weight)
