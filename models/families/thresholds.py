"""Rounds the thresholds of boosted trees to the float32 that ONNX can store."""

from __future__ import annotations

from typing import Any

import numpy as np


def round_thresholds_down(model: Any) -> None:
    """Move the thresholds to the next lower float32, as ONNX stores them: no float32 feature changes its side.

    Rounding to the nearest instead could move a value that lies just above its threshold to the other branch.
    """
    for trees in model._predictors:
        for tree in trees:
            exact = tree.nodes["num_threshold"]
            rounded = exact.astype(np.float32)
            above = rounded.astype(np.float64) > exact
            rounded[above] = np.nextafter(rounded[above], np.float32(-np.inf))
            tree.nodes["num_threshold"] = rounded
