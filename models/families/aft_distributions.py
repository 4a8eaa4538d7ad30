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
    """A standardised distribution, its name in `scipy.stats`, and the ONNX nodes of P(e <= z)."""

    name: str
    in_scipy: str
    emit_below: Callable[[Graph, str], str]

    def below(self, z: Any) -> Float64:
        """Return P(e <= z) for each z."""
        from scipy import stats

        with np.errstate(over="ignore"):
            found: Float64 = getattr(stats, self.in_scipy).cdf(z)
        return found

    def quantile(self, p: Float64) -> Float64:
        """Return z with P(e <= z) = p, for each p."""
        from scipy import stats

        found: Float64 = getattr(stats, self.in_scipy).ppf(p)
        return found

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


def _emit_normal(graph: Graph, z: str) -> str:
    error = graph.add("Erf", graph.add("Mul", z, graph.constant(np.sqrt(0.5))))
    return graph.add("Add", graph.add("Mul", error, graph.constant(0.5)), graph.constant(0.5))


def _emit_logistic(graph: Graph, z: str) -> str:
    return graph.add("Sigmoid", z)


def _emit_extreme(graph: Graph, z: str) -> str:
    beyond = graph.add("Exp", graph.add("Neg", graph.add("Exp", z)))
    return graph.add("Sub", graph.constant(1.0), beyond)


DISTRIBUTIONS = {
    d.name: d
    for d in (
        Distribution("normal", "norm", _emit_normal),
        Distribution("logistic", "logistic", _emit_logistic),
        Distribution("extreme", "gumbel_l", _emit_extreme),
    )
}
