"""Accelerated failure time: boosted trees that also learn from censored lives, as intervals (`survival:aft` of XGBoost).

log T = mu(x) + sigma e, where T is the time to failure in steps, mu a sum of trees and e normal, logistic or extreme (Barnwal, Cho,
Hocking: Survival regression with accelerated failure time model in XGBoost, 2022). Lives count as censored at the horizon (cap)
at the latest: no prediction depends on later failures, so the model need not fit them (van Houwelingen: Dynamic prediction by
landmarking in event history analysis, 2007). The probability of a failure within H is F((log H - mu) / sigma). A remaining life
is the mean of T up to the cap, which has a smaller squared error than the median, min(exp(mu), cap).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from aimaas.fleet import FailureWithin, RemainingUsefulLife
from models.families.aft_distributions import DISTRIBUTIONS, Distribution, most_likely_scale, null_model
from models.families.onnx_graph import Graph
from models.families.scikit import Estimator, Fit, Share
from models.lives import Lives, lives_of_labels
from models.samples import Samples

Float64 = npt.NDArray[np.float64]
Task = FailureWithin | RemainingUsefulLife

_HELD_OUT, _ROUNDS = 0.25, 2  # share of the devices that judge the scale, and how often it is estimated
_QUANTILES = 64  # of T; their mean up to the cap is the remaining life


def aft(  # noqa: PLR0913 - each argument is a key of the fleet file
    task: Task,
    classify: bool,
    *,
    trees: PositiveInt = 200,
    rate: PositiveFloat = 0.06,
    leaves: Annotated[int, Field(ge=2)] = 15,
    min_rows: PositiveInt = 20,
    l2: NonNegativeFloat = 1.0,
    features: Share = 0.25,
    distribution: Literal["normal", "logistic", "extreme"] = "normal",
    scale: PositiveFloat | None = None,
) -> Fit:
    """Boosted trees for censored lives. `scale` is sigma; by default the value with the largest likelihood of held-out devices."""
    farthest = float(task.horizon if isinstance(task, FailureWithin) else task.cap)
    trainer = _Trainer(trees, rate, leaves, min_rows, l2, features, DISTRIBUTIONS[distribution])
    kind = AftClassifier if classify else AftRegressor

    def fit(samples: Samples, seed: int) -> Estimator:
        given = samples.lives or lives_of_labels(samples, farthest, classify)
        lives = given.stopped(farthest, exclusive=classify)
        mean, found = null_model(trainer.distribution, lives)
        sigma = scale or _scale(trainer, lives, mean, found, seed)
        return kind(trainer.fit(lives, mean, sigma, seed), mean, sigma, trainer.distribution, farthest)

    return fit


@dataclass(frozen=True)
class _Trainer:
    trees: int
    rate: float
    leaves: int
    min_rows: int
    l2: float
    features: float
    distribution: Distribution

    def fit(self, lives: Lives, mean: float, sigma: float, seed: int) -> Any:
        """Return the booster of log T - mean. Its sums of second derivatives grow with 1 / sigma², so the limits on them do too."""
        import xgboost

        data = xgboost.DMatrix(lives.features, weight=lives.weight, nthread=1)
        data.set_float_info("label_lower_bound", lives.lower * np.exp(-mean))
        data.set_float_info("label_upper_bound", lives.upper * np.exp(-mean))
        settings = {
            "objective": "survival:aft", "aft_loss_distribution": self.distribution.name,
            "aft_loss_distribution_scale": sigma, "base_score": 1.0, "tree_method": "hist", "grow_policy": "lossguide",
            "max_depth": 0, "max_leaves": self.leaves, "eta": self.rate, "min_child_weight": self.min_rows / sigma**2,
            "reg_lambda": self.l2 / sigma**2, "colsample_bynode": self.features, "seed": seed, "nthread": 1, "verbosity": 0,
        }  # fmt: skip
        return xgboost.train(settings, data, self.trees)


def _scale(trainer: _Trainer, lives: Lives, mean: float, sigma: float, seed: int) -> float:
    """Return the sigma with the largest likelihood of unseen devices, estimated again with trees that used it."""
    names = np.unique(lives.devices)
    kept_out = np.random.default_rng(seed).permutation(len(names))[: max(1, round(_HELD_OUT * len(names)))]
    judges = np.isin(lives.devices, names[kept_out])
    learned, seen = lives.at(~judges), lives.at(judges)
    for _ in range(_ROUNDS if len(learned) and len(seen) else 0):
        centre = mean + margins(trainer.fit(learned, mean, sigma, seed), seen.features)
        sigma = most_likely_scale(trainer.distribution, seen, centre)
    return sigma


def margins(booster: Any, features: npt.NDArray[np.float32]) -> Float64:
    """Return the sums of the trees for features (n, F)."""
    found: Float64 = booster.inplace_predict(np.ascontiguousarray(features), predict_type="margin").astype(np.float64)
    return found


@dataclass(frozen=True)
class _Aft:
    booster: Any
    mean: float
    sigma: float
    distribution: Distribution
    farthest: float  # horizon or cap, in steps

    def _centre(self, features: Any) -> Float64:
        return self.mean + margins(self.booster, features)

    def _emit_centre(self, graph: Graph) -> str:
        """Lay the node of mu (n, 1)."""
        return graph.add(
            "TreeEnsembleRegressor", graph.source, domain="ai.onnx.ml", **_ensemble(self.booster, self.mean)
        )


class AftClassifier(_Aft):
    """The probability of a failure within the horizon."""

    def predict_proba(self, features: Any) -> Float64:
        """Return probabilities (n, 2) of features (n, F)."""
        chance = self.distribution.below((np.log(self.farthest) - self._centre(features)) / self.sigma)
        return np.stack([1 - chance, chance], axis=1)

    def emit(self, graph: Graph) -> str:
        """Lay the nodes; the name of the probability (n, 1)."""
        scaled = graph.add("Mul", self._emit_centre(graph), graph.constant(-1 / self.sigma))
        z = graph.add("Add", scaled, graph.constant(np.log(self.farthest) / self.sigma))
        return self.distribution.emit_below(graph, z)


class AftRegressor(_Aft):
    """The mean of the time to failure up to the cap, computed from `_QUANTILES` quantiles of it."""

    @property
    def _steps(self) -> Float64:
        at = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
        return self.sigma * self.distribution.quantile(at)

    def predict(self, features: Any) -> Float64:
        """Return remaining lives (n,) of features (n, F), in steps."""
        logs = np.minimum(self._centre(features)[:, None] + self._steps, np.log(self.farthest))
        lives: Float64 = np.exp(logs).mean(axis=1)
        return lives

    def emit(self, graph: Graph) -> str:
        """Lay the nodes; the name of the remaining life (n, 1)."""
        logs = graph.add("Add", self._emit_centre(graph), graph.constant(self._steps[None]))
        capped = graph.add("Min", logs, graph.constant(np.log(self.farthest)))
        return graph.add("ReduceMean", graph.add("Exp", capped), axes=[1], keepdims=1)


def _ensemble(booster: Any, mean: float) -> dict[str, Any]:
    """Return a booster's trees as attributes of ONNX' TreeEnsembleRegressor.

    A row goes left if its feature is below the threshold.
    """
    found: dict[str, list[Any]] = {name: [] for name in (
        "nodes_treeids", "nodes_nodeids", "nodes_featureids", "nodes_modes", "nodes_values", "nodes_truenodeids",
        "nodes_falsenodeids", "target_treeids", "target_nodeids", "target_ids", "target_weights",
    )}  # fmt: skip
    for tree, of in enumerate(
        json.loads(bytes(booster.save_raw("json")))["learner"]["gradient_booster"]["model"]["trees"]
    ):
        left, values = of["left_children"], of["split_conditions"]
        leaf = [child < 0 for child in left]
        nodes = range(len(left))
        found["nodes_treeids"] += [tree] * len(left)
        found["nodes_nodeids"] += nodes
        found["nodes_featureids"] += [0 if leaf[i] else of["split_indices"][i] for i in nodes]
        found["nodes_modes"] += ["LEAF" if leaf[i] else "BRANCH_LT" for i in nodes]
        found["nodes_values"] += [0.0 if leaf[i] else values[i] for i in nodes]
        found["nodes_truenodeids"] += [0 if leaf[i] else left[i] for i in nodes]
        found["nodes_falsenodeids"] += [0 if leaf[i] else of["right_children"][i] for i in nodes]
        leaves = [i for i in nodes if leaf[i]]
        found["target_treeids"] += [tree] * len(leaves)
        found["target_nodeids"] += leaves
        found["target_ids"] += [0] * len(leaves)
        found["target_weights"] += [values[i] for i in leaves]
    return {**found, "n_targets": 1, "base_values": [mean], "aggregate_function": "SUM", "post_transform": "NONE"}
