"""The search space of each family: options of its builder in models/families/candidates.py, and their bounds.

Numbers are rounded to three digits before they are tried, so that the shown value is the tried one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from aimaas.fleet import FleetSpec
from models.families.candidates import settings_of

_SHARE = FloatDistribution(0.1, 1.0)

_BOOSTED: dict[str, BaseDistribution] = {
    "trees": IntDistribution(50, 500, step=50),
    "rate": FloatDistribution(0.01, 0.3, log=True),
    "leaves": IntDistribution(4, 63, log=True),
    "min_rows": IntDistribution(5, 100, log=True),
    "l2": FloatDistribution(1e-2, 100, log=True),
    "features": _SHARE,
}

SPACES: Mapping[str, dict[str, BaseDistribution]] = {
    "ridge": {"l2": FloatDistribution(1e-2, 1e4, log=True)},
    "boosting": _BOOSTED,
    "aft": {**_BOOSTED, "distribution": CategoricalDistribution(["normal", "logistic", "extreme"])},
    "mlp": {
        "hidden": CategoricalDistribution(["128-64-32", "256-128", "128-64", "64-32", "64"]),
        "activation": CategoricalDistribution(["relu", "tanh"]),
        "l2": FloatDistribution(1e-3, 10, log=True),
        "rate": FloatDistribution(5e-4, 1e-2, log=True),
        "batch": IntDistribution(128, 512, step=128),
    },
    "trees": {
        "trees": IntDistribution(50, 300, step=50),
        "min_rows": IntDistribution(1, 20, log=True),
        "features": _SHARE,
    },
    "forest": {
        "trees": IntDistribution(50, 300, step=50),
        "min_rows": IntDistribution(1, 20, log=True),
        "features": _SHARE,
    },
}


def options_of(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return a trial's parameters as options of the builder."""
    return {name: _option(name, value) for name, value in params.items()}


def params_of(fleet: FleetSpec, family: str) -> dict[str, Any]:
    """Return the fleet file's settings of a family as parameters of a trial; settings outside the bounds are left out."""
    settings, found = settings_of(fleet, family), {}
    for name, distribution in SPACES[family].items():
        value = "-".join(map(str, settings[name])) if name == "hidden" else settings[name]
        if _within(distribution, value):
            found[name] = value
    return found


def _option(name: str, value: Any) -> Any:
    if name == "hidden":
        return [int(width) for width in value.split("-")]
    return float(f"{value:.3g}") if isinstance(value, float) else value


def _within(distribution: BaseDistribution, value: Any) -> bool:
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    assert isinstance(distribution, FloatDistribution | IntDistribution)  # noqa: S101 - there are no others above
    return bool(distribution.low <= value <= distribution.high)
