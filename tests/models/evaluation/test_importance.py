from __future__ import annotations

import numpy as np

from aimaas.kernel.plan import channels_of
from models.evaluation.evaluate import rmse
from models.evaluation.importance import permutation_importance

NAMES = ("heat.mean_3", "noise.mean_3", "heat.slope_6", "altitude", "age")


def test_the_features_of_a_channel_belong_together_and_a_setting_stands_alone() -> None:
    assert channels_of(NAMES) == {"heat": [0, 2], "noise": [1], "altitude": [3], "age": [4]}


def test_the_channel_that_a_model_looks_at_comes_first_and_one_it_ignores_has_no_importance() -> None:
    features = np.random.default_rng(0).normal(size=(3_000, 5)).astype(np.float32)
    truth = 3 * features[:, 0] - 2 * features[:, 2] + features[:, 3]
    found = permutation_importance(
        lambda x: 3 * x[:, 0] - 2 * x[:, 2] + x[:, 3], rmse, features, truth, channels_of(NAMES), seed=1
    )
    assert [i.channel for i in found[:2]] == ["heat", "altitude"]
    assert {i.channel: i.mean for i in found}["noise"] == 0


def test_the_same_seed_gives_the_same_importance() -> None:
    features = np.random.default_rng(0).normal(size=(2_000, 5)).astype(np.float32)
    truth = features[:, 0] + features[:, 1]
    once, again = (
        permutation_importance(lambda x: x[:, 0], rmse, features, truth, channels_of(NAMES), seed=3) for _ in range(2)
    )
    assert once == again
