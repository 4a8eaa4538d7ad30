"""Candidate models by the name that a fleet file gives them under `training.candidates`.

Each builder's keyword arguments are the keys that its mapping may hold. It returns a function from samples and a seed to a fitted
scikit-learn estimator that skl2onnx can export. Defaults were chosen by grouped cross-validation on C-MAPSS' train_*
files, those of the forest by cross-validation on AI4I 2020.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, ValidationError, validate_call

from aimaas.errors import TrainingRefusedError
from aimaas.fleet import FailureWithin, FleetSpec
from models.mean import CLASSES, mean_of
from models.network import Schedule, fit_network, fit_standardised
from models.samples import Samples
from models.shards import RunShards, dealt, in_turn
from models.thresholds import round_thresholds_down

Estimator = Any  # a fitted scikit-learn regressor or classifier
Fit = Callable[[Samples, int], Estimator]
Share = Annotated[float, Field(gt=0, le=1)]
_APART = 1_000  # seeds of a candidate's members lie so far apart that trainings with neighbouring seeds share none
_ENSEMBLES = ("blend", "stack")  # the mean of others, and the mean by weights that are learned
_SHARDS = "shards"  # a key of every candidate that is fitted
_BY_TASK: Mapping[str, tuple[dict[str, Any], dict[str, Any]]] = {  # defaults of a regression, of a classification
    "mlp": ({"l2": 2.0, "loss": "mse"}, {"l2": 0.1, "loss": "cross_entropy"}),  # whose loss is smaller
}


@dataclass(frozen=True)
class Candidate:
    """A model to be tried: `fit` trains it; an ensemble has no fit of its own but is the mean of its `members`.

    With `learned_weights` the mean is weighted.
    """

    name: str
    fit: Fit | None
    members: tuple[str, ...] = ()
    learned_weights: bool = False


def candidates_of(fleet: FleetSpec, run_shards: RunShards = in_turn) -> list[Candidate]:
    """The fleet's candidates, ensembles last. Raises TrainingRefusedError for a name or key that does not exist.

    `run_shards` trains the members of those that are fitted on shards of the devices.
    """
    classify = isinstance(fleet.task, FailureWithin)
    asked = fleet.training.candidates
    for name in asked:
        _check_name(fleet, name)
    single = [Candidate(n, _fit_of(fleet, n, classify, run_shards)) for n in asked if n in _BUILDERS]
    return single + [_ensemble(fleet, name) for name in asked if name in _ENSEMBLES]


def family_names() -> list[str]:
    """Names of all candidates that are fitted by themselves."""
    return list(_BUILDERS)


def settings_of(fleet: FleetSpec, name: str) -> dict[str, Any]:
    """What the fleet's candidate called `name` is built with: what the fleet file gives, and defaults."""
    given = fleet.training.candidates[name]
    if name in _ENSEMBLES:
        return {"of": _ensemble(fleet, name).members}
    options = [p for p in inspect.signature(_BUILDERS[name]).parameters.values() if p.kind is p.KEYWORD_ONLY]
    by_task = _BY_TASK.get(name, ({}, {}))[isinstance(fleet.task, FailureWithin)]
    found = {p.name: given.get(p.name, by_task.get(p.name, p.default)) for p in options}
    return {**found, _SHARDS: given[_SHARDS]} if _SHARDS in given else found


def with_candidates(fleet: FleetSpec, candidates: Mapping[str, Any]) -> FleetSpec:
    """The fleet with these candidates instead of its own."""
    training = fleet.training.model_copy(update={"candidates": dict(candidates)})
    return fleet.model_copy(update={"training": training})


def predict(estimator: Estimator, features: Any) -> Any:
    """Predictions (n,) float64: the regression's value, or the probability of class 1."""
    if hasattr(estimator, "predict_proba"):
        return estimator.predict_proba(features)[:, 1].astype(np.float64)
    return estimator.predict(features).astype(np.float64)


def _ridge(classify: bool, *, l2: PositiveFloat = 10.0) -> Fit:
    """Linear baseline: ridge, or logistic regression with the same penalty."""
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def fit(samples: Samples, seed: int) -> Estimator:
        linear = LogisticRegression(C=1 / l2, max_iter=1_000) if classify else Ridge(l2)
        return make_pipeline(StandardScaler(), linear).fit(samples.features, samples.targets)

    return fit


def _boosting(
    classify: bool,
    *,
    trees: PositiveInt = 200,
    rate: PositiveFloat = 0.06,
    leaves: Annotated[int, Field(ge=2)] = 15,
    min_rows: PositiveInt = 20,
    l2: NonNegativeFloat = 1.0,
    features: Share = 0.25,
) -> Fit:
    """Gradient boosting on histograms; each split looks at the share `features` of the features."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingClassifier if classify else HistGradientBoostingRegressor

    def fit(samples: Samples, seed: int) -> Estimator:
        model = kind(
            max_iter=trees, learning_rate=rate, max_leaf_nodes=leaves, min_samples_leaf=min_rows, l2_regularization=l2,
            max_features=features, early_stopping=False, random_state=seed,
        )  # fmt: skip
        model.fit(samples.features, samples.targets)
        round_thresholds_down(model)
        return model

    return fit


def _mlp(  # noqa: PLR0913 - each argument is a key of the fleet file
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
) -> Fit:
    """Multilayer perceptron; the mean of `networks` of them, each of which begins with other weights and holds out other devices.

    Held-out devices halve the rate (`adaptive`) and end the training (`early_stopping`). `loss` follows from the task: mean
    squared error, or cross-entropy. `l2` is scikit-learn's `alpha`: its half times the sum of squared weights, per batch, beside
    the loss of standardised targets. `momentum` is that of `solver: sgd`.
    """
    by_task = _BY_TASK["mlp"][classify]
    if loss not in (None, by_task["loss"]):
        raise TrainingRefusedError(f"loss: found {loss!r}, allowed for this task: {by_task['loss']!r}")
    alpha = by_task["l2"] if l2 is None else l2
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    schedule = Schedule(epochs, patience, adaptive, early_stopping)

    def fit(samples: Samples, seed: int) -> Estimator:
        if networks == 1:
            return fit_one(samples, seed)
        return mean_of([(f"network_{i + 1}", fit_one(samples, seed + _APART * i)) for i in range(networks)])

    def fit_one(samples: Samples, seed: int) -> Estimator:
        kind = MLPClassifier if classify else MLPRegressor
        network = kind(
            hidden_layer_sizes=hidden, activation=activation, solver=solver, momentum=momentum, alpha=alpha,
            learning_rate_init=rate, batch_size=batch, random_state=seed,
        )  # fmt: skip
        scaler = StandardScaler().fit(samples.features)
        scaled = Samples(scaler.transform(samples.features), samples.targets, samples.devices)
        if classify:
            fit_network(network, scaled, CLASSES, schedule, seed)
        else:
            fit_standardised(network, scaled, schedule, seed)
        return make_pipeline(scaler, network)

    return fit


def _trees(classify: bool, *, trees: PositiveInt = 100, min_rows: PositiveInt = 5, features: Share = 0.3) -> Fit:
    """Extremely randomised trees."""
    from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

    kind = ExtraTreesClassifier if classify else ExtraTreesRegressor

    def fit(samples: Samples, seed: int) -> Estimator:
        model = kind(trees, min_samples_leaf=min_rows, max_features=features, random_state=seed)
        return model.fit(samples.features, samples.targets)

    return fit


def _forest(classify: bool, *, trees: PositiveInt = 100, min_rows: PositiveInt = 3, features: Share = 1.0) -> Fit:
    """Random forest: unlike extra trees it looks for the best thresholds, which finds failures that are limits of a channel."""
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    kind = RandomForestClassifier if classify else RandomForestRegressor

    def fit(samples: Samples, seed: int) -> Estimator:
        model = kind(trees, min_samples_leaf=min_rows, max_features=features, random_state=seed)
        return model.fit(samples.features, samples.targets)

    return fit


_BUILDERS: dict[str, Callable[..., Fit]] = {
    "ridge": _ridge, "boosting": _boosting, "mlp": _mlp, "trees": _trees, "forest": _forest
}  # fmt: skip


def fit_shard(fleet: FleetSpec, name: str, samples: Samples, seed: int) -> Estimator:
    """The member of a candidate that one shard of the devices makes, on one thread; called in another process."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(1):
        return _fit_alone(fleet, name, isinstance(fleet.task, FailureWithin))(samples, seed)


def _fit_of(fleet: FleetSpec, name: str, classify: bool, run_shards: RunShards) -> Fit:
    """How a candidate is fitted: by itself, or as the mean of members that each saw one of `shards` parts of the devices."""
    alone, shards = _fit_alone(fleet, name, classify), fleet.training.candidates[name].get(_SHARDS, 1)
    if not isinstance(shards, int) or shards < 1:
        where = f"fleets/{fleet.fleet}.yaml: training.candidates.{name}.{_SHARDS}"
        raise TrainingRefusedError(f"{where}: found {shards!r}, allowed: a whole number from 1")
    if shards == 1:
        return alone

    def fit(samples: Samples, seed: int) -> Estimator:
        parts = dealt(samples, shards, seed, classify)
        members = dict(run_shards([partial(fit_shard, fleet, name, part, seed) for part in parts]))
        return mean_of([(f"shard_{i + 1}", members[i]) for i in range(shards)])

    return fit


def _fit_alone(fleet: FleetSpec, name: str, classify: bool) -> Fit:
    given = {k: v for k, v in fleet.training.candidates[name].items() if k != _SHARDS}
    return _build(fleet, name, _BUILDERS[name], given, classify)


def _check_name(fleet: FleetSpec, name: str) -> None:
    if name not in _ENSEMBLES and name not in _BUILDERS:
        allowed = ", ".join([*_BUILDERS, *_ENSEMBLES])
        raise TrainingRefusedError(
            f"fleets/{fleet.fleet}.yaml: training.candidates.{name}: no such candidate; allowed: {allowed}"
        )


def _build(fleet: FleetSpec, name: str, builder: Callable[..., Fit], given: Mapping[str, Any], classify: bool) -> Fit:
    allowed = [p.name for p in inspect.signature(builder).parameters.values() if p.kind is p.KEYWORD_ONLY]
    _check_keys(fleet, name, given, allowed)
    try:
        return validate_call(builder)(classify, **given)
    except ValidationError as e:
        lines = [
            f"fleets/{fleet.fleet}.yaml: training.candidates.{name}.{'.'.join(map(str, error['loc']))}: found {error['input']!r}, "
            f"allowed: {error['msg'][0].lower()}{error['msg'][1:]}"
            for error in e.errors()
        ]
        raise TrainingRefusedError("\n".join(lines)) from None
    except TrainingRefusedError as e:
        raise TrainingRefusedError(f"fleets/{fleet.fleet}.yaml: training.candidates.{name}.{e}") from None


def _check_keys(fleet: FleetSpec, name: str, given: Mapping[str, Any], allowed: Sequence[str]) -> None:
    for key in given:
        if key not in allowed:
            raise TrainingRefusedError(
                f"fleets/{fleet.fleet}.yaml: training.candidates.{name}.{key}: no such key; allowed: {', '.join(allowed)}"
            )


def _ensemble(fleet: FleetSpec, name: str) -> Candidate:
    """The mean of other candidates (`of`; by default all but the ridge baseline), which costs no training of its own."""
    given = fleet.training.candidates[name]
    _check_keys(fleet, name, given, ["of"])
    others = [n for n in fleet.training.candidates if n not in _ENSEMBLES]
    members = tuple(given.get("of", [n for n in others if n != "ridge"]))
    missing = [n for n in members if n not in others]
    if missing or len(members) < 2:
        raise TrainingRefusedError(
            f"fleets/{fleet.fleet}.yaml: training.candidates.{name}.of: found {list(members)}, allowed: at least two of "
            f"{', '.join(others)}"
        )
    return Candidate(name, None, members, learned_weights=name == "stack")
