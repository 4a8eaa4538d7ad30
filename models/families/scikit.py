"""The families from scikit-learn. The keyword arguments of each function are the keys that a candidate of that name may have.

A function returns a function from samples and a seed to a trained estimator that skl2onnx can export. Defaults were chosen by
grouped cross-validation on C-MAPSS' train_* files, and the defaults of the forest by cross-validation on AI4I 2020.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from aimaas.errors import TrainingRefusedError
from models.families.leaves import smooth_leaves
from models.families.mean import CLASSES, mean_of_networks
from models.families.network import Schedule, fit_network, fit_standardised
from models.families.thresholds import round_thresholds_down
from models.samples import Samples
from models.weights import mean

Estimator = Any  # a fitted scikit-learn regressor or classifier
Fit = Callable[[Samples, int], Estimator]
Share = Annotated[float, Field(gt=0, le=1)]
MLP_BY_TASK: tuple[dict[str, Any], dict[str, Any]] = (  # defaults of a regression, and of a classification, whose loss is smaller
    {"l2": 2.0, "loss": "mse", "auxiliary": (0.2, 0.5)}, {"l2": 0.1, "loss": "cross_entropy", "auxiliary": ()}
)  # fmt: skip


def ridge(classify: bool, *, l2: PositiveFloat = 10.0) -> Fit:
    """Linear baseline: ridge, or logistic regression with the same penalty."""
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def fit(samples: Samples, seed: int) -> Estimator:
        linear = LogisticRegression(C=1 / l2, max_iter=1_000) if classify else Ridge(l2)
        weight = {f"{type(linear).__name__.lower()}__sample_weight": samples.sample_weight}
        return make_pipeline(StandardScaler(), linear).fit(samples.features, samples.targets, **weight)

    return fit


def boosting(
    classify: bool,
    *,
    trees: PositiveInt = 200,
    rate: PositiveFloat = 0.06,
    leaves: Annotated[int, Field(ge=2)] = 15,
    min_rows: PositiveInt = 20,
    l2: NonNegativeFloat = 1.0,
    features: Share = 0.25,
) -> Fit:
    """Gradient boosting on histograms; each split considers the share `features` of the features."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingClassifier if classify else HistGradientBoostingRegressor

    def fit(samples: Samples, seed: int) -> Estimator:
        model = kind(
            max_iter=trees, learning_rate=rate, max_leaf_nodes=leaves, min_samples_leaf=min_rows, l2_regularization=l2,
            max_features=features, early_stopping=False, random_state=seed,
        )  # fmt: skip
        model.fit(samples.features, samples.targets, sample_weight=samples.sample_weight)
        round_thresholds_down(model)
        return model

    return fit


def mlp(  # noqa: PLR0913 - each argument is a key of the fleet file
    classify: bool,
    *,
    hidden: tuple[PositiveInt, ...] = (128, 64, 32),
    activation: Literal["relu", "tanh", "logistic"] = "relu",
    loss: Literal["mse", "cross_entropy"] | None = None,
    solver: Literal["adam", "sgd"] = "adam",
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9,
    l2: NonNegativeFloat | None = None,
    rate: PositiveFloat = 2e-3,
    adaptive: bool = True,
    batch: PositiveInt = 256,
    epochs: PositiveInt = 30,
    early_stopping: bool = True,
    patience: PositiveInt = 2,
    networks: PositiveInt = 3,
    auxiliary: tuple[Annotated[float, Field(gt=0, lt=1)], ...] | None = None,
) -> Fit:
    """Multilayer perceptron: the mean of `networks` networks, each with other initial weights and other held-out devices.

    The loss of held-out devices halves the rate (`adaptive`) and ends the training (`early_stopping`). `loss` follows from the
    task: mean squared error, or cross-entropy. `l2` is scikit-learn's `alpha`: half of it times the sum of squared weights is
    added to the loss of standardised targets, per batch. `momentum` applies to `solver: sgd`. A regression also learns the target
    capped at the shares `auxiliary` of the largest target.
    """
    by_task = MLP_BY_TASK[classify]
    if loss not in (None, by_task["loss"]):
        raise TrainingRefusedError(f"loss: found {loss!r}, allowed for this task: {by_task['loss']!r}")
    if classify and auxiliary:
        raise TrainingRefusedError(f"auxiliary: found {list(auxiliary)}, allowed for this task: []")
    alpha, shares = by_task["l2"] if l2 is None else l2, by_task["auxiliary"] if auxiliary is None else auxiliary
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    schedule = Schedule(epochs, patience, adaptive, early_stopping)

    def fit(samples: Samples, seed: int) -> Estimator:
        return mean_of_networks(partial(fit_one, samples), networks, seed)

    def fit_one(samples: Samples, seed: int) -> Estimator:
        kind = MLPClassifier if classify else MLPRegressor
        network = kind(
            hidden_layer_sizes=hidden, activation=activation, solver=solver, momentum=momentum, alpha=alpha,
            learning_rate_init=rate, batch_size=batch, random_state=seed,
        )  # fmt: skip
        scaler = StandardScaler().fit(samples.features)
        scaled = replace(samples, features=scaler.transform(samples.features))
        if classify:
            fit_network(network, scaled, CLASSES, schedule, seed)
        else:
            fit_standardised(network, scaled, schedule, seed, shares)
        return make_pipeline(scaler, network)

    return fit


def trees(classify: bool, *, trees: PositiveInt = 100, min_rows: PositiveInt = 5, features: Share = 0.3) -> Fit:
    """Extremely randomised trees."""
    from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

    return _of_trees(ExtraTreesClassifier if classify else ExtraTreesRegressor, trees, min_rows, features)


def forest(classify: bool, *, trees: PositiveInt = 100, min_rows: PositiveInt = 3, features: Share = 1.0) -> Fit:
    """Random forest: unlike extra trees it searches for the best thresholds, which finds failures that are limits of a channel."""
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    return _of_trees(RandomForestClassifier if classify else RandomForestRegressor, trees, min_rows, features)


def _of_trees(kind: Any, trees: int, min_rows: int, features: float) -> Fit:
    def fit(samples: Samples, seed: int) -> Estimator:
        model = kind(trees, min_samples_leaf=min_rows, max_features=features, random_state=seed)
        model.fit(samples.features, samples.targets, sample_weight=samples.sample_weight)
        if hasattr(model, "classes_"):
            weights = samples.sample_weight
            smooth_leaves(model, float(np.mean(samples.targets)) if weights is None else mean(samples.targets, weights))
        return model

    return fit
