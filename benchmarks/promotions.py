"""Years of nightly trainings: how often an equal model is promoted, and how soon a better one. The last line is JSON.

Each night another challenger is compared with the same champion on the test devices; their number grows by half within a year.
`equal` challengers have the champion's mean loss over all possible devices; `better` ones have an error that is 5 % lower.
Device by device the losses differ by three parts: the champion's own, a part that nightly challengers share (they learned from
almost the same rows), and a part that is new each night. The sizes are from retrained models on 300 simulated turbofans and
mills; all parts are skewed.
`spent` is the product's rule, `before` is the former rule: better in 80 % of 1,000 resamplings of the devices.

    .venv/bin/python benchmarks/promotions.py              # --years 200; --quick: seconds, for the tests
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aimaas.fleet import FleetSpec, load_fleet
from aimaas.registry.versions import Champion
from models.evaluation.paired_test import Comparison, p_value_of
from models.export.measure import classifies
from models.promotion.looks import Look, next_look
from models.promotion.promote import verdict

Float64 = npt.NDArray[np.float64]

FLEETS = Path(__file__).resolve().parents[1] / "fleets"
NIGHTS, GROWTH = 365, 0.5
BETTER = 0.05
DRAWS, CONFIDENCE = 1_000, 0.8  # of the former rule
SKEW = 0.5  # of the lognormal parts, as the deviation of their logarithm
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
CHAMPION = Champion("1", 1, BEGAN)


@dataclass(frozen=True)
class Spread:
    """Spread of the devices' losses, relative to their mean, and of the difference of two models' losses.

    `alike` is the correlation of two challengers' differences from one champion, at least 0.5: half is the champion's.
    """

    devices: float
    difference: float
    alike: float


SPREADS = {"turbofan": Spread(0.70, 0.17, 0.65), "mill": Spread(0.95, 0.08, 0.5)}


class Year:
    """Losses by device (D,) of the champion and of each night's challenger, whose mean loss is `left` times the champion's."""

    def __init__(self, spread: Spread, devices: int, left: float, seed: int) -> None:
        """Draw the devices, and the parts that are the same every night."""
        self._random = np.random.default_rng(seed)
        self._devices, self._left = devices, left
        most = self.devices(NIGHTS)
        shape = 1 / spread.devices**2
        self._hard = self._random.gamma(shape, 1 / shape, most)
        relative = spread.difference / np.sqrt(1 + spread.devices**2)  # a hard device has a larger loss that can differ
        self._champion = relative * np.sqrt(0.5) * self._part(most)
        self._shared = relative * np.sqrt(spread.alike - 0.5) * self._part(most)
        self._new = relative * np.sqrt(1 - spread.alike)

    def devices(self, night: int) -> int:
        """Return the number of test devices."""
        return self._devices + int(self._devices * GROWTH * night / NIGHTS)

    def losses(self, night: int) -> tuple[Float64, Float64]:
        """Return the losses of the challenger and of the champion."""
        d = self.devices(night)
        new = self._new * self._part(d)
        hard = self._hard[:d]
        return hard * np.maximum(1 + self._shared[:d] + new, 0) * self._left, hard * np.maximum(
            1 + self._champion[:d], 0
        )

    def _part(self, d: int) -> Float64:
        """Return skewed numbers (d,) with mean 0 and deviation 1."""
        drawn = np.exp(SKEW * self._random.standard_normal(d))
        mean = np.exp(SKEW**2 / 2)
        part: Float64 = (drawn - mean) / (mean * np.sqrt(np.expm1(SKEW**2)))
        return part


@dataclass(frozen=True)
class Days:
    """The day of the first promotion by each rule; None without one within the year."""

    spent: int | None
    before: int | None


def run_year(name: str, devices: int, better: float, seed: int) -> Days:
    """Compare every night until both rules have promoted."""
    fleet = load_fleet(FLEETS / f"{name}.yaml")
    left = (1 - better) ** (1 if classifies(fleet) else 2)
    year, look = Year(SPREADS[name], devices, left, seed), None
    days: dict[str, int] = {}
    for night in range(1, NIGHTS + 1):
        mine, champion = year.losses(night)
        look = next_look(look, BEGAN, fleet.gates.false_promotions, BEGAN + timedelta(days=night))
        if "spent" not in days and promotes(fleet, mine, champion, look):
            days["spent"] = night
        if "before" not in days and promoted_before(mine, champion):
            days["before"] = night
        if len(days) == 2:
            break
    return Days(days.get("spent"), days.get("before"))


def promotes(fleet: FleetSpec, challenger: Float64, champion: Float64, look: Look) -> bool:
    """Return the product's verdict."""
    classify = classifies(fleet)
    errors = [float(x.mean() if classify else np.sqrt(x.mean())) for x in (challenger, champion)]
    p_value = p_value_of(challenger, champion, classify, fleet.gates.improvement)
    return verdict(fleet, Comparison(errors[0], errors[1], p_value, len(champion)), look, CHAMPION)[0]


def promoted_before(challenger: Float64, champion: Float64) -> bool:
    """Return the former rule's verdict: the paired bootstrap at a fixed confidence."""
    gains = champion - challenger
    return bool(gains.sum() > 0 and (_draws(len(gains)) @ gains > 0).mean() >= CONFIDENCE)


@cache
def _draws(devices: int) -> Float64:
    return np.random.default_rng(7).multinomial(devices, np.full(devices, 1 / devices), DRAWS).astype(np.float64)


def share(days: list[Days], rule: str) -> float:
    """Return the share of the years with a promotion."""
    return round(float(np.mean([getattr(d, rule) is not None for d in days])), 4)


def quantiles(days: list[Days], rule: str) -> dict[str, float | None]:
    """Return the days until the promotion: in half and in nine of ten years; None if it takes more than a year."""
    found = np.array([getattr(d, rule) or np.inf for d in days])
    ends = {name: float(np.quantile(found, q, method="higher")) for name, q in (("median", 0.5), ("most", 0.9))}
    return {name: end if np.isfinite(end) else None for name, end in ends.items()}


def main() -> None:
    """Run all years, print the figures."""
    given, began = _arguments(), time.monotonic()
    equal: dict[str, Any] = {}
    better: dict[str, Any] = {}
    with ProcessPoolExecutor(given.workers) as pool:
        for name, devices in product(SPREADS, given.devices):
            task = load_fleet(FLEETS / f"{name}.yaml").task.kind
            same = list(pool.map(run_year, *_years(name, devices, 0.0, given.years), chunksize=5))
            ahead = list(pool.map(run_year, *_years(name, devices, BETTER, given.better_years), chunksize=5))
            equal.setdefault(task, {})[str(devices)] = {rule: share(same, rule) for rule in ("spent", "before")}
            better.setdefault(task, {})[str(devices)] = {rule: quantiles(ahead, rule) for rule in ("spent", "before")}
            said = f"{equal[task][str(devices)]}, days {better[task][str(devices)]}"
            print(f"{task}, {devices} test devices: equal models promoted {said}", file=sys.stderr, flush=True)
    worst = {rule: max(of[rule] for by in equal.values() for of in by.values()) for rule in ("spent", "before")}
    figures = {"years_with_equal_promoted": equal, "worst": worst, "days_until_better_promoted": better}
    print(
        json.dumps(
            {"benchmark": "promotions", **figures, "years": given.years, "seconds": round(time.monotonic() - began, 1)}
        )
    )


def _years(name: str, devices: int, better: float, count: int) -> Iterator[Iterator[Any]]:
    """Return the arguments of this many years, each with its own seed."""
    first = 1_000_000 * devices + (500_000 if better else 0)
    return zip(*((name, devices, better, first + k) for k in range(count)), strict=True)  # type: ignore[return-value]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--years", type=int, default=200, help="years of equal models for each task and number of devices"
    )
    parser.add_argument("--devices", type=int, nargs="+", default=[5, 20, 50, 100], help="test devices at the start")
    parser.add_argument("--workers", type=int, default=None, help="processes; as many as there are cores")
    parser.add_argument("--quick", action="store_true", help="few years of few devices")
    given = parser.parse_args()
    if given.quick:
        given.years, given.devices = 10, [20]
    given.better_years = max(given.years // 4, 10)
    return given


if __name__ == "__main__":
    main()
