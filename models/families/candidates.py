"""Candidate models by the name that a fleet file gives them under `training.candidates`.

Each family (`models/families/scikit.py`, `models/families/deep/families.py`) is a function. Its keyword arguments are the keys
that the candidate's mapping may have.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from pydantic import ConfigDict, ValidationError, validate_call

from aimaas.errors import TrainingRefusedError
from aimaas.fleet import FailureWithin, FleetSpec
from aimaas.fleet.candidate_families import CENSORED_FAMILIES, SEQUENCE_FAMILIES
from aimaas.kernel.plan import plan_of
from models.families.aft import aft
from models.families.deep.families import check_installed, cnn, is_installed, recurrent, transformer
from models.families.deep.layout import Layout
from models.families.mean import FAR_APART, mean_of
from models.families.scikit import MLP_BY_TASK, Estimator, Fit, boosting, forest, mlp, ridge, trees
from models.families.shards import RunShards, dealt, in_turn
from models.families.vector_only import vector_only
from models.samples import Samples

_ENSEMBLES = ("blend", "stack")  # the mean of other candidates, and their mean with learned weights
_SHARDS, _SEEDS = "shards", "seeds"  # keys of every candidate that is trained
_BY_TASK = {"mlp": MLP_BY_TASK}  # defaults for a regression, for a classification


@dataclass(frozen=True)
class Candidate:
    """A model to try: `fit` trains it. An ensemble is not trained itself; it is the mean of its `members`.

    With `learned_weights` the mean is weighted.
    """

    name: str
    fit: Fit | None
    members: tuple[str, ...] = ()
    learned_weights: bool = False


def candidates_of(fleet: FleetSpec, run_shards: RunShards = in_turn) -> list[Candidate]:
    """Return the fleet's candidates, ensembles last. Raises TrainingRefusedError for a name or key that does not exist.

    `run_shards` trains the members of candidates that are trained on shards of the devices.
    """
    asked = fleet.training.candidates
    for name in asked:
        _check_name(fleet, name)
    ordered = [*(n for n in asked if n in _BUILDERS), *(n for n in asked if n in _ENSEMBLES)]
    return [_candidate(fleet, name, run_shards) for name in ordered]


def candidate_mistakes(fleet: FleetSpec) -> list[str]:
    """Return a line for each name, key or value of the fleet's candidates that `candidates_of` would refuse."""
    lines: list[str] = []
    for name in fleet.training.candidates:
        try:
            _check_name(fleet, name)
            _candidate(fleet, name, in_turn)
        except TrainingRefusedError as e:
            lines += str(e).splitlines()
    return lines


def _candidate(fleet: FleetSpec, name: str, run_shards: RunShards) -> Candidate:
    if name in _ENSEMBLES:
        return _ensemble(fleet, name)
    return Candidate(name, _fit_of(fleet, name, isinstance(fleet.task, FailureWithin), run_shards))


def family_names() -> list[str]:
    """Return names of all candidates that are trained by themselves and can be trained here."""
    return [name for name in _BUILDERS if name not in SEQUENCE_FAMILIES or is_installed()]


def settings_of(fleet: FleetSpec, name: str) -> dict[str, Any]:
    """Return the options of the fleet's candidate `name`: those in the fleet file, and defaults."""
    given = fleet.training.candidates[name]
    if name in _ENSEMBLES:
        return {"of": _ensemble(fleet, name).members}
    options = [p for p in inspect.signature(_BUILDERS[name]).parameters.values() if p.kind is p.KEYWORD_ONLY]
    by_task = _BY_TASK.get(name, ({}, {}))[isinstance(fleet.task, FailureWithin)]
    found = {p.name: given.get(p.name, by_task.get(p.name, p.default)) for p in options}
    return {**found, **{key: given[key] for key in (_SHARDS, _SEEDS) if key in given}}


def with_candidates(fleet: FleetSpec, candidates: Mapping[str, Any]) -> FleetSpec:
    """Return the fleet with these candidates in place of its own."""
    training = fleet.training.model_copy(update={"candidates": dict(candidates)})
    return fleet.model_copy(update={"training": training})


def predict(estimator: Estimator, features: Any) -> Any:
    """Return predictions (n,) float64: the regression's value, or the probability of class 1."""
    if hasattr(estimator, "predict_proba"):
        return estimator.predict_proba(features)[:, 1].astype(np.float64)
    return estimator.predict(features).astype(np.float64)


_BUILDERS: dict[str, Callable[..., Fit]] = {
    "ridge": ridge, "boosting": boosting, "mlp": mlp, "trees": trees, "forest": forest, "aft": aft,
    "cnn": cnn, "lstm": partial(recurrent, "lstm"), "gru": partial(recurrent, "gru"), "transformer": transformer,
}  # fmt: skip


def fit_shard(fleet: FleetSpec, name: str, samples: Samples, seed: int) -> Estimator:
    """Return the member that one shard of the devices gives, trained on one thread; called in another process."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(1):
        return _fit_alone(fleet, name, isinstance(fleet.task, FailureWithin))(samples, seed)


def _fit_of(fleet: FleetSpec, name: str, classify: bool, run_shards: RunShards) -> Fit:
    """Return how a candidate is trained; if the kernel gives the window for some candidate, the others read only the vector."""
    fit, plan = _with_seeds(fleet, name, _sharded(fleet, name, classify, run_shards)), plan_of(fleet)
    return _on_vector(fit, len(plan.vector_names)) if plan.sequence and name not in SEQUENCE_FAMILIES else fit


def _sharded(fleet: FleetSpec, name: str, classify: bool, run_shards: RunShards) -> Fit:
    """Return the training of the candidate itself, or of the mean of members on each of `shards` parts of the devices."""
    alone, shards = _fit_alone(fleet, name, classify), _whole_number(fleet, name, _SHARDS)
    if shards == 1:
        return alone

    def fit(samples: Samples, seed: int) -> Estimator:
        parts = dealt(samples, shards, seed, classify)
        members = dict(run_shards([partial(fit_shard, fleet, name, part, seed) for part in parts]))
        return mean_of([(f"shard_{i + 1}", members[i]) for i in range(shards)])

    return fit


def _with_seeds(fleet: FleetSpec, name: str, fit: Fit) -> Fit:
    """Return the same training, or the mean of members that each draw their random numbers from one of `seeds` seeds."""
    seeds = _whole_number(fleet, name, _SEEDS)
    if seeds == 1:
        return fit

    def fit_members(samples: Samples, seed: int) -> Estimator:
        return mean_of([(f"seed_{i + 1}", fit(samples, seed + FAR_APART * i)) for i in range(seeds)])

    return fit_members


def _whole_number(fleet: FleetSpec, name: str, key: str) -> int:
    """Return a key of a candidate with the default 1. Raises TrainingRefusedError for anything but a whole number from 1."""
    found = fleet.training.candidates[name].get(key, 1)
    if type(found) is not int or found < 1:
        where = f"fleets/{fleet.fleet}.yaml: training.candidates.{name}.{key}"
        raise TrainingRefusedError(f"{where}: found {found!r}, allowed: a whole number from 1")
    return found


def _fit_alone(fleet: FleetSpec, name: str, classify: bool) -> Fit:
    given = {k: v for k, v in fleet.training.candidates[name].items() if k not in (_SHARDS, _SEEDS)}
    builder = _BUILDERS[name]
    if name in SEQUENCE_FAMILIES:
        check_installed(fleet.fleet, name)
        builder = partial(builder, Layout.of(plan_of(fleet)))
    if name in CENSORED_FAMILIES:
        builder = partial(builder, fleet.task)
    return _build(fleet, name, builder, given, classify)


def _check_name(fleet: FleetSpec, name: str) -> None:
    if name not in _ENSEMBLES and name not in _BUILDERS:
        allowed = ", ".join([*_BUILDERS, *_ENSEMBLES])
        raise TrainingRefusedError(
            f"fleets/{fleet.fleet}.yaml: training.candidates.{name}: no such candidate; allowed: {allowed}"
        )


def _on_vector(fit: Fit, width: int) -> Fit:
    def fit_on_vector(samples: Samples, seed: int) -> Estimator:
        return vector_only(fit(samples.first(width), seed), width)

    return fit_on_vector


def _build(fleet: FleetSpec, name: str, builder: Callable[..., Fit], given: Mapping[str, Any], classify: bool) -> Fit:
    allowed = [p.name for p in inspect.signature(builder).parameters.values() if p.kind is p.KEYWORD_ONLY]
    _check_keys(fleet, name, given, allowed)
    try:
        return validate_call(config=ConfigDict(allow_inf_nan=False))(builder)(classify, **given)
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
    """Return the mean of other candidates (`of`; by default all but the ridge baseline), without a training of its own."""
    given = fleet.training.candidates[name]
    _check_keys(fleet, name, given, ["of"])
    others = [n for n in fleet.training.candidates if n not in _ENSEMBLES]
    members = given.get("of", [n for n in others if n != "ridge"])
    if not isinstance(members, list | tuple) or len(members) < 2 or any(n not in others for n in members):
        raise TrainingRefusedError(
            f"fleets/{fleet.fleet}.yaml: training.candidates.{name}.of: found {members!r}, allowed: a list of at least two of "
            f"{', '.join(others)}"
        )
    return Candidate(name, None, tuple(members), learned_weights=name == "stack")
