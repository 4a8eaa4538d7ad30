"""How a fitted model got better step by step, where it can tell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from models.evaluate import error_of
from models.families import Estimator
from models.samples import Samples
from models.vector_only import VectorOnly


@dataclass(frozen=True)
class Curve:
    """Values by step (1, 2, …); `step` and `value` say what they are."""

    name: str
    step: str
    value: str
    values: tuple[float, ...]


def learning_curves(name: str, estimator: Estimator, test: Samples, classify: bool) -> list[Curve]:
    """Curves of an estimator and of the members of a blend; none for a model that is fitted at once.

    A network's are its losses on the devices that it held out to know when to stop; boosting's are errors on `test`.
    """
    return [c for part, of in _parts(name, estimator) if (c := _curve(part, of, test, classify)) is not None]


def _parts(name: str, estimator: Estimator) -> Iterator[tuple[str, Estimator]]:
    if isinstance(estimator, VectorOnly):
        yield from _parts(name, estimator.inner)
    elif hasattr(estimator, "named_estimators"):  # a blend
        for (part, _), fitted in zip(estimator.estimators, estimator.estimators_, strict=True):
            yield from _parts(f"{name} {part}", fitted)
    else:
        yield name, estimator[-1] if hasattr(estimator, "named_steps") else estimator


def _curve(name: str, model: Estimator, test: Samples, classify: bool) -> Curve | None:
    if hasattr(model, "held_out_losses_"):
        return Curve(name, "epoch", "loss on held-out devices", tuple(model.held_out_losses_))
    if hasattr(model, "staged_predict"):
        kind = "log loss" if classify else "RMSE"
        return Curve(name, "tree", f"{kind} on test devices", tuple(_staged(model, test, classify)))
    return None


def _staged(model: Estimator, test: Samples, classify: bool) -> Iterator[float]:
    stages = model.staged_predict_proba if classify else model.staged_predict
    for answer in stages(test.features):
        predicted = answer[:, 1] if classify else answer
        yield error_of(test.targets, predicted, classify, test.sample_weight)
