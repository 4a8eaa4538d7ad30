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
from typing import Annotated, Any

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, ValidationError, validate_call

from aimaas.errors import TrainingRefusedError
from aimaas.families import SEQUENCE_FAMILIES
from aimaas.fleet import FailureWithin, FleetSpec
from aimaas.plan import plan_of
from models.deep.families import check_installed, cnn, is_installed, recurrent, transformer
from models.deep.layout import Layout
from models.network import fit_network, fit_standardised
from models.samples import Samples
from models.vector_only import vector_only

Estimator = Any  # a fitted scikit-learn regressor or classifier
Fit = Callable[[Samples, int], Estimator]
Share = Annotated[float, Field(gt=0, le=1)]
_APART = 1_000  # seeds of a candidate's members lie so far apart that trainings with neighbouring seeds share none
CLASSES = np.array([0.0, 1.0], np.float32)


@dataclass(frozen=True)
class Candidate:
    """A model to be tried: `fit` trains it; a blend has no fit of its own but is the mean of its `members`."""

    name: str
    fit: Fit | None
    members: tuple[str, ...] = ()


def candidates_of(fleet: FleetSpec) -> list[Candidate]:
    """The fleet's candidates, blends last. Raises TrainingRefusedError for a name or key that does not exist."""
    classify = isinstance(fleet.task, FailureWithin)
    asked = fleet.training.candidates
    for name in asked:
        _check_name(fleet, name)
    single = [Candidate(n, _fit_of(fleet, n, p, classify)) for n, p in asked.items() if n != "blend"]
    return single + [_blend(fleet, asked[name]) for name in asked if name == "blend"]


def family_names() -> list[str]:
    """Names of all candidates that are fitted by themselves and can be here."""
    return [name for name in _BUILDERS if name not in SEQUENCE_FAMILIES or is_installed()]


def settings_of(fleet: FleetSpec, name: str) -> dict[str, Any]:
    """What the fleet's candidate called `name` is built with: what the fleet file gives, and defaults."""
    given = fleet.training.candidates[name]
    if name == "blend":
        return {"of": _blend(fleet, given).members}
    options = [p for p in inspect.signature(_BUILDERS[name]).parameters.values() if p.kind is p.KEYWORD_ONLY]
    return {p.name: given.get(p.name, p.default) for p in options}


def predict(estimator: Estimator, features: Any) -> Any:
    """Predictions (n,) float64: the regression's value, or the probability of class 1."""
    if hasattr(estimator, "predict_proba"):
        return estimator.predict_proba(features)[:, 1].astype(np.float64)
    return estimator.predict(features).astype(np.float64)


def mean_of(members: Sequence[tuple[str, Estimator]]) -> Estimator:
    """One estimator that answers with the mean of fitted ones."""
    from sklearn.ensemble import VotingClassifier, VotingRegressor
    from sklearn.preprocessing import LabelEncoder

    named, fitted = list(members), [estimator for _, estimator in members]
    if hasattr(fitted[0], "predict_proba"):
        blend = VotingClassifier(named, voting="soft", flatten_transform=False)
        blend.le_ = LabelEncoder().fit(CLASSES)
        blend.classes_ = blend.le_.classes_
    else:
        blend = VotingRegressor(named)
    blend.estimators_ = fitted
    return blend


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
        _round_thresholds_down(model)
        return model

    return fit


def _mlp(
    classify: bool,
    *,
    hidden: tuple[PositiveInt, ...] = (128, 64, 32),
    l2: NonNegativeFloat | None = None,
    rate: PositiveFloat = 2e-3,
    batch: PositiveInt = 256,
    epochs: PositiveInt = 30,
    patience: PositiveInt = 2,
    networks: PositiveInt = 3,
) -> Fit:
    """Multilayer perceptron: ReLU, Adam, L2, rate halved and training stopped by held-out devices; the mean of `networks` of them.

    Each network begins with other weights and holds out other devices.

    `l2` is scikit-learn's `alpha`: its half times the sum of squared weights, per batch, beside the loss of standardised
    targets; by default 2, and 0.1 for a classification, whose loss is smaller.
    """
    alpha = l2 if l2 is not None else 0.1 if classify else 2.0
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def fit(samples: Samples, seed: int) -> Estimator:
        if networks == 1:
            return fit_one(samples, seed)
        return mean_of([(f"network_{i + 1}", fit_one(samples, seed + _APART * i)) for i in range(networks)])

    def fit_one(samples: Samples, seed: int) -> Estimator:
        kind = MLPClassifier if classify else MLPRegressor
        network = kind(
            hidden_layer_sizes=hidden, alpha=alpha, learning_rate_init=rate, batch_size=batch, random_state=seed
        )
        scaler = StandardScaler().fit(samples.features)
        scaled = Samples(scaler.transform(samples.features), samples.targets, samples.devices)
        if classify:
            fit_network(network, scaled, CLASSES, epochs, patience, seed)
        else:
            fit_standardised(network, scaled, epochs, patience, seed)
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
    "ridge": _ridge, "boosting": _boosting, "mlp": _mlp, "trees": _trees, "forest": _forest,
    "cnn": cnn, "lstm": partial(recurrent, "lstm"), "gru": partial(recurrent, "gru"), "transformer": transformer,
}  # fmt: skip


def _check_name(fleet: FleetSpec, name: str) -> None:
    if name != "blend" and name not in _BUILDERS:
        raise TrainingRefusedError(
            f"fleets/{fleet.fleet}.yaml: training.candidates.{name}: no such candidate; allowed: {', '.join([*_BUILDERS, 'blend'])}"
        )


def _fit_of(fleet: FleetSpec, name: str, given: Mapping[str, Any], classify: bool) -> Fit:
    """The candidate's fit; where the kernel gives the window to some candidate, the others are shown the feature vector alone."""
    plan, builder = plan_of(fleet), _BUILDERS[name]
    if name in SEQUENCE_FAMILIES:
        check_installed(fleet.fleet, name)
        return _build(fleet, name, partial(builder, Layout.of(plan)), given, classify)
    fit = _build(fleet, name, builder, given, classify)
    return _on_vector(fit, len(plan.vector_names)) if plan.sequence else fit


def _on_vector(fit: Fit, width: int) -> Fit:
    def fit_on_vector(samples: Samples, seed: int) -> Estimator:
        return vector_only(fit(samples.first(width), seed), width)

    return fit_on_vector


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


def _check_keys(fleet: FleetSpec, name: str, given: Mapping[str, Any], allowed: Sequence[str]) -> None:
    for key in given:
        if key not in allowed:
            raise TrainingRefusedError(
                f"fleets/{fleet.fleet}.yaml: training.candidates.{name}.{key}: no such key; allowed: {', '.join(allowed)}"
            )


def _blend(fleet: FleetSpec, given: Mapping[str, Any]) -> Candidate:
    """The mean of other candidates (`of`; by default all but the ridge baseline), which costs no training of its own."""
    _check_keys(fleet, "blend", given, ["of"])
    others = [n for n in fleet.training.candidates if n != "blend"]
    members = tuple(given.get("of", [n for n in others if n != "ridge"]))
    missing = [n for n in members if n not in others]
    if missing or len(members) < 2:
        raise TrainingRefusedError(
            f"fleets/{fleet.fleet}.yaml: training.candidates.blend.of: found {list(members)}, allowed: at least two of "
            f"{', '.join(others)}"
        )
    return Candidate("blend", None, members)


def _round_thresholds_down(model: Estimator) -> None:
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
