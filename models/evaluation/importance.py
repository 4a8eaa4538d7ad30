"""Permutation importance of the channels.

All features of a channel (its means, deviation, slope, distance from the first rows) are shuffled together. If they were shuffled
one by one, neighbouring features would replace each of them, and none would seem important.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from models.weights import Weights, at

Float32 = npt.NDArray[np.float32]

_ROWS = 1_000  # with 25 channels and 3 shuffles 75,000 predictions: a second or two
_SHUFFLES = 3


@dataclass(frozen=True)
class Importance:
    """The rise of the error when a channel was shuffled, in each shuffle."""

    channel: str
    rises: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean rise of the error."""
        return sum(self.rises) / len(self.rises)


def permutation_importance(
    predict: Callable[[Float32], Float32],
    error: Callable[..., float],
    features: Float32,
    truth: Float32,
    channels: dict[str, list[int]],
    seed: int,
    weights: Weights = None,
) -> list[Importance]:
    """Return the importance of every channel on features (n, F) and truth (n,), the highest first.

    `error` takes truth and predictions, and `weights` (n,) if rows have any.

    With more than a thousand rows, a thousand are drawn by the seed.
    """
    random = np.random.default_rng(seed)
    if len(truth) > _ROWS:
        drawn = np.sort(random.choice(len(truth), _ROWS, replace=False))
        features, truth, weights = features[drawn], truth[drawn], at(weights, drawn)
    judged = error if weights is None else partial(error, weights=weights)
    plain = judged(truth, predict(features))
    orders = [random.permutation(len(truth)) for _ in range(_SHUFFLES)]

    def rise(places: list[int], order: npt.NDArray[np.int64]) -> float:
        shuffled = features.copy()
        shuffled[:, places] = features[order][:, places]
        return judged(truth, predict(shuffled)) - plain

    found = [Importance(name, tuple(rise(places, o) for o in orders)) for name, places in channels.items()]
    return sorted(found, key=lambda i: -i.mean)
