"""Models beside sequence models: where the kernel gives the window too, the others are shown the feature vector alone."""

from __future__ import annotations

from typing import Any

from models.families import Estimator
from models.mean import mean_of


class VectorOnly:
    """A fitted regressor that reads the first `width` of the features (n, F) that it is given."""

    def __init__(self, inner: Estimator, width: int) -> None:
        self.inner, self.width = inner, width

    def predict(self, features: Any) -> Any:
        """What the inner estimator predicts (n,)."""
        return self.inner.predict(features[:, : self.width])


class VectorOnlyClassifier(VectorOnly):
    """The same of a classifier."""

    def predict_proba(self, features: Any) -> Any:
        """Probabilities (n, 2) of the inner estimator."""
        return self.inner.predict_proba(features[:, : self.width])


def vector_only(inner: Estimator, width: int) -> VectorOnly:
    """Show a fitted estimator the first `width` features only."""
    return (VectorOnlyClassifier if hasattr(inner, "predict_proba") else VectorOnly)(inner, width)


def members_of(estimator: Estimator) -> list[Estimator]:
    """The members of a mean, or the estimator itself."""
    return list(estimator.estimators_) if hasattr(estimator, "named_estimators") else [estimator]


def without_window(estimator: Estimator) -> Estimator | None:
    """The estimator as one of the feature vector alone; None where it, or a member of it, looks at the window."""
    members = members_of(estimator)
    if not all(isinstance(m, VectorOnly) for m in members):
        return None
    if not hasattr(estimator, "named_estimators"):
        return estimator.inner
    named = [(name, m.inner) for (name, _), m in zip(estimator.estimators, members, strict=True)]
    return mean_of(named, estimator.weights)
