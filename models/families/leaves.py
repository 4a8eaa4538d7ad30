"""Probabilities for trees with few rows in a leaf, which must not be certain."""

from __future__ import annotations

from typing import Any

_ROWS = 1.0  # of the whole sample's rate, added to each leaf


def smooth_leaves(model: Any, rate: float) -> None:
    """Move the failure rates in the leaves of a trained forest of two classes towards the sample's `rate`, by one row each.

    Otherwise a leaf with few rows predicts 0 or 1. If failures are rare, the mean over trees hardly corrects that: such certainty
    costs most when it is wrong, and the rows cannot be ranked. The m-estimate of Cestnik (1990), for trees by Provost and Domingos
    (2003).
    """
    for tree in (estimator.tree_ for estimator in model.estimators_):
        rows, shares = tree.weighted_n_node_samples, tree.value[:, 0, :]
        failing = (shares[:, 1] * rows + _ROWS * rate) / (rows + _ROWS)
        tree.value[:, 0, 0], tree.value[:, 0, 1] = 1 - failing, failing
