"""Models without a window beside sequence models: if the kernel gives the window too, these models read only the vector."""

from __future__ import annotations

from typing import Any

from models.families.mean import mean_of
from models.families.scikit import Estimator


class VectorOnly:
    """A trained regressor that reads the first `width` of the features (n, F)."""

    def __init__(self, inner: Estimator, width: int) -> None:
        self.inner, self.width = inner, width

    def predict(self, features: Any) -> Any:
        """Return the predictions (n,) of the inner estimator."""
        return self.inner.predict(features[:, : self.width])


class VectorOnlyClassifier(VectorOnly):
    """The same for a classifier."""

    def predict_proba(self, features: Any) -> Any:
        """Return probabilities (n, 2) of the inner estimator."""
        return self.inner.predict_proba(features[:, : self.width])


def vector_only(inner: Estimator, width: int) -> VectorOnly:
    """Let a trained estimator read only the first `width` features."""
    return (VectorOnlyClassifier if hasattr(inner, "predict_proba") else VectorOnly)(inner, width)


def members_of(estimator: Estimator) -> list[Estimator]:
    """Return the members of a mean, or the estimator itself."""
    return list(estimator.estimators_) if hasattr(estimator, "named_estimators") else [estimator]


def without_window(estimator: Estimator) -> Estimator | None:
    """Return the estimator for the feature vector alone; None if it, or a member of it, reads the window."""
    members = members_of(estimator)
    if not all(isinstance(m, VectorOnly) for m in members):
        return None
    if not hasattr(estimator, "named_estimators"):
        return estimator.inner
    named = [(name, m.inner) for (name, _), m in zip(estimator.estimators, members, strict=True)]
    return mean_of(named, estimator.weights)
