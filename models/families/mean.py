"""The mean of trained estimators as an estimator that skl2onnx can export."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

APART = 1_000  # distance of the seeds of a candidate's members, so that trainings with neighbouring seeds share none
FAR_APART = 1_000_000  # distance of the seeds of members that may be means of members themselves
CLASSES = np.array([0.0, 1.0], np.float32)


def mean_of(members: Sequence[tuple[str, Any]], weights: Sequence[float] | None = None) -> Any:
    """Return one estimator that predicts the mean of trained ones, weighted if there are weights."""
    from sklearn.ensemble import VotingClassifier, VotingRegressor
    from sklearn.preprocessing import LabelEncoder

    named, fitted = list(members), [estimator for _, estimator in members]
    shares = None if weights is None else np.array(weights, np.float64)  # skl2onnx wants an array
    if hasattr(fitted[0], "predict_proba"):
        blend = VotingClassifier(named, voting="soft", flatten_transform=False, weights=shares)
        blend.le_ = LabelEncoder().fit(CLASSES)
        blend.classes_ = blend.le_.classes_
    else:
        blend = VotingRegressor(named, weights=shares)
    blend.estimators_ = fitted
    return blend


def mean_of_networks(fit_one: Callable[[int], Any], networks: int, seed: int) -> Any:
    """Return the result of `fit_one` for a seed, or the mean of `networks` results, each for a seed of its own."""
    fitted = [fit_one(seed + APART * i) for i in range(networks)]
    return fitted[0] if networks == 1 else mean_of([(f"network_{i + 1}", one) for i, one in enumerate(fitted)])
