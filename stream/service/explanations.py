"""Reasons of a prediction: how the prediction changes if one channel has its typical values.

All features of a channel are set to their typical values, the medians over the training rows, which are part of the
artefact. The effect is the prediction minus the prediction with the typical values. The channels are tested one at a time:
channels that move together share their effect or hide each other's, and effects do not add up to anything. Effects say what
the model uses, not what wears the device. The method is occlusion by a baseline, as Zeiler and Fergus (2014, section 2.1)
did with pictures.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from aimaas.kernel.plan import channels_of
from stream.model.load import Model
from stream.service.instances import Float32

_ROWS = 4_096  # scored at once, because C rows of F features for each instance would fill memory


class Reasoned(NamedTuple):
    """A prediction, and the effect of each channel on it, in the target's unit."""

    prediction: float
    effects: dict[str, float]

    def strongest(self, count: int) -> list[dict[str, float | str]]:
        """Return the `count` channels with the largest effects, the largest first.

        A channel without which the model has no answer is left out.
        """
        known = [(channel, effect) for channel, effect in self.effects.items() if math.isfinite(effect)]
        ranked = sorted(known, key=lambda item: -abs(item[1]))[:count]
        return [{"channel": channel, "effect": effect} for channel, effect in ranked]


def reasons(model: Model, features: Float32, predictions: Float32) -> list[Reasoned]:
    """Return the reasons of predictions (n,) for features (n, F). Calls the model in batches; it must have typical values."""
    channels = channels_of(model.metadata.plan.feature_names)
    typical = np.array(model.metadata.typical, np.float32)
    covers = np.zeros((len(channels), len(typical)), np.bool_)
    for i, places in enumerate(channels.values()):
        covers[i, places] = True
    step = max(_ROWS // len(channels), 1)
    without = [
        model.predict(np.where(covers, typical, features[i : i + step, None, :]).reshape(-1, len(typical)))
        for i in range(0, len(features), step)
    ]
    effects = predictions[:, None] - np.concatenate(without).reshape(len(features), len(channels))
    return [
        Reasoned(float(p), dict(zip(channels, row, strict=True)))
        for p, row in zip(predictions, effects.tolist(), strict=True)
    ]
