"""The distributions of log T in accelerated failure time, and the likelihood of lives under them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.families.onnx_graph import Graph
from models.lives import Lives

Float64 = npt.NDArray[np.float64]

_SMALLEST = 1e-12  # probability of an observation
_SCALES = (0.02, 5.0)  # bounds of sigma


@dataclass(frozen=True)
class Distribution:
    """A standardised distribution: P(e <= z), its inverse, and the ONNX nodes of P(e <= z)."""

    name: str
    below: Callable[[Float64], Float64]
    quantile: Callable[[Float64], Float64]
    emit_below: Callable[[Graph, str], str]

    def losses(self, lives: Lives, centre: Any, sigma: float) -> Float64:
        """Return minus the log-likelihood of each of the lives (n,), whose log T has the `centre` (n,) and the scale `sigma`."""
        with np.errstate(divide="ignore"):
            lower, upper = ((np.log(bound) - centre) / sigma for bound in (lives.lower, lives.upper))
        return -np.log(np.maximum(self.below(upper) - self.below(lower), _SMALLEST))


def most_likely_scale(distribution: Distribution, lives: Lives, centre: Any) -> float:
    """Return the sigma with the largest likelihood of the lives."""
    from scipy.optimize import minimize_scalar

    def loss(log_sigma: float) -> float:
        return float(np.average(distribution.losses(lives, centre, np.exp(log_sigma)), weights=lives.weight))

    return float(np.exp(minimize_scalar(loss, bounds=np.log(_SCALES), method="bounded").x))


def null_model(distribution: Distribution, lives: Lives) -> tuple[float, float]:
    """Return the mean and the scale of log T with the largest likelihood of the lives, without features."""
    from scipy.optimize import minimize

    def loss(given: Float64) -> float:
        return float(np.average(distribution.losses(lives, given[0], np.exp(given[1])), weights=lives.weight))

    seen = np.where(np.isfinite(lives.upper), lives.upper, np.maximum(lives.lower, 1.0))
    found = minimize(loss, [np.log(seen).mean(), 0.0], method="Nelder-Mead").x
    return float(found[0]), float(np.exp(np.clip(found[1], *np.log(_SCALES))))


def _normal_below(z: Float64) -> Float64:
    from scipy.special import ndtr

    found: Float64 = ndtr(z)
    return found


def _normal_quantile(p: Float64) -> Float64:
    from scipy.special import ndtri

    found: Float64 = ndtri(p)
    return found


def _emit_normal(graph: Graph, z: str) -> str:
    error = graph.add("Erf", graph.add("Mul", z, graph.constant(np.sqrt(0.5))))
    return graph.add("Add", graph.add("Mul", error, graph.constant(0.5)), graph.constant(0.5))


def _logistic_below(z: Float64) -> Float64:
    from scipy.special import expit

    found: Float64 = expit(z)
    return found


def _extreme_below(z: Float64) -> Float64:
    return -np.expm1(-np.exp(np.minimum(z, 50.0)))


def _emit_extreme(graph: Graph, z: str) -> str:
    beyond = graph.add("Exp", graph.add("Neg", graph.add("Exp", z)))
    return graph.add("Sub", graph.constant(1.0), beyond)


DISTRIBUTIONS = {
    d.name: d
    for d in (
        Distribution("normal", _normal_below, _normal_quantile, _emit_normal),
        Distribution(
            "logistic", _logistic_below, lambda p: np.log(p / (1 - p)), lambda graph, z: graph.add("Sigmoid", z)
        ),
        Distribution("extreme", _extreme_below, lambda p: np.log(-np.log(1 - p)), _emit_extreme),
    )
}
