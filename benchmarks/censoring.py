"""Labels under censoring: simulated fleets whose truth is known, judged by age. The last line is JSON.

Devices fail at random (`memoryless`), by wear (`wear`), by wear that a reading drives, which also drives how soon a device is
removed (`readings`), or repeatedly, without a new run (`recurrent`). Devices enter at random, so the watched times differ; 10,
50 and 90 % of the lives are censored. A model learns from the data up to the end, with the product's weights and by the former
rule without weights (`before`). Its mean answer is compared with the mean truth at each age where at least 200 lives are
watched and a row's label can be observed with a probability of at least 0.1.

    .venv/bin/python benchmarks/censoring.py               # --seeds 10 --devices 5000; --quick: seconds, for the tests
    .venv/bin/python benchmarks/censoring.py --aft         # judges that candidate too
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aimaas.fleet import FailureWithin, FleetSpec, load_fleet
from aimaas.labels.censoring import Censoring, Places, Watched, labelled, landmark_rows, landmarks_of, with_hazard
from aimaas.labels.censoring_hazard import FEWEST, MOST_LANDMARKS
from aimaas.labels.lifetimes import NEVER, bounds, labels, steps_needed
from models.families.aft import aft
from models.families.candidates import Candidate, predict
from models.families.scikit import boosting
from models.lives import Lives
from models.samples import Samples
from models.selection.select import fit_alone

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

MILL = Path(__file__).resolve().parents[1] / "fleets" / "mill.yaml"
TASKS: dict[str, dict[str, Any]] = {
    "failure_within": {"kind": "failure_within", "unit": "operations", "horizon": 30},
    "remaining_life": {"kind": "remaining_useful_life", "unit": "operations", "cap": 125},
}
KINDS, SHARES = ("memoryless", "wear", "readings", "recurrent"), (0.1, 0.5, 0.9)
SCALE, SHAPE, PULL = (
    300.0,
    2.5,
    0.4,
)  # of the lives; a reading one deviation higher shortens life and watched time by exp(-PULL)
AT_RISK, SEEN = 200, 0.1
ROW_STEP, AGE_STEP, NOISE = 5, 10, 0.1
AGES = range(0, int(6 * SCALE), AGE_STEP)


@dataclass(frozen=True)
class Fleet:
    """n lives: device, reading, start after the device's first row, length of the life, and longest time it could be watched."""

    device: Int64
    reading: Float64
    begins: Int64
    life: Int64
    follow_up: Int64

    @property
    def failed(self) -> npt.NDArray[np.bool_]:
        """Return which lives were observed to fail."""
        return self.life <= self.follow_up

    @property
    def watched(self) -> Int64:
        """Return the watched time of each life."""
        return np.minimum(self.life, self.follow_up)


def survival(kind: str, reading: Float64, age: float) -> Float64:
    """Return P(a life lasts longer than an age), for each reading (n,)."""
    t = np.full(len(reading), max(age, 0.0))
    if kind == "memoryless":
        return np.exp(-t / SCALE)
    stress = np.exp(PULL * reading) if kind == "readings" else 1.0
    return np.exp(-((t * stress / SCALE) ** SHAPE))


def truth(kind: str, task: str, needed: int, reading: Float64, age: float) -> Float64:
    """Return the probability of a failure within the horizon, or the mean remaining life, of lives that reached an age."""
    reached = survival(kind, reading, age - 1.0)
    if task == "failure_within":
        return 1 - survival(kind, reading, age + needed) / reached
    longer: Float64 = np.sum([survival(kind, reading, age + k) for k in range(needed)], axis=0)
    return longer / reached


def simulate(kind: str, share: float, devices: int, rng: np.random.Generator) -> Fleet:
    """Simulate a fleet with about this share of censored lives: bisection finds the longest watched time."""
    seed = int(rng.integers(2**31))
    low, high = 1.0, 100 * SCALE
    for _ in range(30):
        middle = (low * high) ** 0.5
        fleet = _fleet(kind, middle, devices, np.random.default_rng(seed))
        low, high = (middle, high) if (~fleet.failed).mean() > share else (low, middle)
    return fleet


def _fleet(kind: str, longest: float, devices: int, rng: np.random.Generator) -> Fleet:
    reading = rng.normal(size=devices)
    taken = np.exp(-PULL * reading) if kind == "readings" else 1.0
    watch = (rng.uniform(0, longest, devices) * taken).astype(np.int64)
    device, begins = np.arange(devices), np.zeros(devices, np.int64)
    parts = []
    while len(device):
        life = _lives(kind, reading[device], rng)
        parts.append((device, reading[device], begins, life, watch[device] - begins))
        again = (kind == "recurrent") & (life < watch[device] - begins)
        device, begins = device[again], (begins + life + 1)[again]
    return Fleet(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _lives(kind: str, reading: Float64, rng: np.random.Generator) -> Int64:
    drawn = rng.exponential(1, len(reading))
    if kind == "memoryless":
        return np.ceil(SCALE * drawn).astype(np.int64)
    stress = np.exp(PULL * reading) if kind == "readings" else 1.0
    return np.ceil(SCALE * drawn ** (1 / SHAPE) / stress).astype(np.int64)


def rows_of(fleet: Fleet, rng: np.random.Generator) -> tuple[Places, Int64, npt.NDArray[np.float32]]:
    """Return a row at every fifth step of each life: its place, its life, and its features (age and reading, with noise)."""
    counts = fleet.watched // ROW_STEP + 1
    of = np.repeat(np.arange(len(counts)), counts)
    age = (np.arange(len(of)) - np.repeat(np.cumsum(counts) - counts, counts)) * ROW_STEP
    first = fleet.begins[of]
    failure = np.where(fleet.failed, fleet.begins + fleet.life, NEVER)[of]
    places = Places(first + age, first, (fleet.begins + fleet.watched)[of], failure, np.full(len(of), NEVER), first > 0)
    reading = fleet.reading[of] + rng.normal(0, NOISE, len(of))
    return places, of, np.column_stack([age, reading]).astype(np.float32)


@dataclass(frozen=True)
class Judged:
    """Bias (A,) by age of both rules, and their calibration errors; NaN for ages that are not judged."""

    bias: dict[str, Float64]
    calibration: dict[str, float]


def judge(kind: str, share: float, task: str, devices: int, at_risk: int, with_aft: bool, seed: int) -> Judged | None:
    """Simulate, label, train by both rules (and the family for censored lives if requested), and compare with the truth.

    None if no age can be judged: no life was watched for a horizon (cap), all rows are cut, and the product refuses to train.
    """
    rng = np.random.default_rng([seed, KINDS.index(kind), int(100 * share)])
    spec = load_fleet(MILL)
    spec = spec.model_validate(spec.model_dump() | {"task": TASKS[task], "order": "seq"})
    fleet = simulate(kind, share, devices, rng)
    if not _judged_ages(fleet, int(steps_needed(spec)), at_risk):
        return None
    places, of, features = rows_of(fleet, rng)
    lives = Watched(fleet.begins, fleet.begins + fleet.watched, fleet.failed, fleet.begins > 0)
    plain = labels(spec, places.order, places.newest, places.failure, places.end)
    censoring = _with_readings(spec, Censoring.of(spec, lives), places, fleet.device[of], features)
    label, weight = labelled(spec, censoring, places, features)
    ways = {"weighted": (label, weight), "before": (plain, np.ones(len(plain)))}
    models = {name: _fitted(task, features, of, *way, seed) for name, way in ways.items()}
    if with_aft:
        models["aft"] = _aft(spec, places, features, of, plain, seed)
    return _compared((kind, task, int(steps_needed(spec)), at_risk), fleet, models, rng)


def _with_readings(spec: FleetSpec, censoring: Censoring, places: Places, device: Int64, features: Any) -> Censoring:
    """Return the censoring as freezing estimates it: with a hazard if the readings drive it."""
    if censoring.by_chance < FEWEST:
        return censoring
    chosen = landmark_rows(spec, places)
    chosen &= device < (device.max() + 1) * MOST_LANDMARKS / chosen.sum()
    landmarks = landmarks_of(spec, censoring, places.at(chosen), device[chosen], features[chosen])
    return with_hazard(spec, censoring, landmarks, (1,))


def _fitted(task: str, features: Any, of: Int64, label: Float64, weight: Float64, seed: int) -> Any:
    known = ~np.isnan(label)
    samples = Samples(features[known], label[known].astype(np.float32), of[known], weight[known].astype(np.float32))
    fit = boosting(task == "failure_within", trees=100, min_rows=200, features=1.0)
    return fit_alone(Candidate("boosting", fit), samples, seed)


def _compared(
    what: tuple[str, str, int, int], fleet: Fleet, models: dict[str, Any], rng: np.random.Generator
) -> Judged:
    kind, task, needed, at_risk = what
    whole, judged = 1 if task == "failure_within" else needed, _judged_ages(fleet, needed, at_risk)
    at = [np.flatnonzero(fleet.watched >= age) for age in judged]
    of, age = np.concatenate(at), np.repeat(judged, [len(a) for a in at])
    true = np.concatenate([
        truth(kind, task, needed, fleet.reading[a], float(g)) / whole
        for a, g in zip(at, judged, strict=True)
    ])  # fmt: skip
    rows = np.column_stack([age, fleet.reading[of] + rng.normal(0, NOISE, len(of))]).astype(np.float32)
    said = {name: np.clip(predict(model, rows), 0, whole) / whole for name, model in models.items()}
    bias = {name: np.full(len(AGES), np.nan) for name in models}
    for name, answers in said.items():
        for g in judged:
            bias[name][g // AGE_STEP] = float((answers - true)[age == g].mean())
    return Judged(bias, {name: calibration_error(answers, true) for name, answers in said.items()})


def _aft(spec: FleetSpec, places: Places, features: Any, of: Int64, plain: Float64, seed: int) -> Any:
    """Train the family for censored lives on all rows with the known bounds of their time to failure."""
    lower, upper = bounds(spec, places.order, places.newest, places.failure, places.end)
    known, every = ~np.isnan(plain), np.ones(len(of))
    lives = Lives(features, of, lower, upper, every)
    samples = Samples(features[known], plain[known].astype(np.float32), of[known], lives=lives)
    fit = aft(spec.task, isinstance(spec.task, FailureWithin), trees=100, min_rows=200, features=1.0)
    return fit_alone(Candidate("aft", fit), samples, seed)


def _judged_ages(fleet: Fleet, needed: int, at_risk: int) -> list[int]:
    return [age for age in AGES if _is_judged(fleet, age, needed, at_risk)]


def _is_judged(fleet: Fleet, age: int, needed: int, at_risk: int) -> bool:
    """Return whether enough lives are watched at an age, and enough of them for a horizon (cap) longer."""
    reaching = (fleet.follow_up >= age).sum()
    return bool((fleet.watched >= age).sum() >= at_risk and (fleet.follow_up >= age + needed).sum() >= SEEN * reaching)


def calibration_error(said: Float64, true: Float64) -> float:
    """Return the mean distance between answers and the truth over ten bins of equally many answers."""
    bins = np.array_split(np.argsort(said, kind="stable"), 10)
    return float(np.average([abs(said[b].mean() - true[b].mean()) for b in bins], weights=[len(b) for b in bins]))


def summary(found: list[Judged], name: str) -> dict[str, float]:
    """Return the largest bias of any age in the mean over the seeds, and the mean over the seeds of each seed's largest bias."""
    bias = np.stack([one.bias[name] for one in found])
    judged = ~np.isnan(bias).any(axis=0)
    each = np.abs(bias[:, judged])
    return {
        "max_bias_by_age": round(float(np.abs(bias[:, judged].mean(axis=0)).max()), 4),
        "mean_of_max": round(float(each.max(axis=1).mean()), 4),
        "calibration_error": round(float(np.mean([one.calibration[name] for one in found])), 4),
    }


def _scenarios(given: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    with ProcessPoolExecutor(given.processes) as pool:
        for kind, share, task in product(given.kinds, given.shares, TASKS):
            one = partial(judge, kind, share, task, given.devices, given.at_risk, given.aft)
            found = [judged for judged in pool.map(one, range(given.seeds)) if judged is not None]
            names = found[0].bias if found else ()
            yield f"{task}.{kind}.{share:.0%}", {name: summary(found, name) for name in names}


def main() -> None:
    """Judge all fleets and print the figures."""
    given, began, scenarios = _arguments(), time.monotonic(), {}
    for name, figures in _scenarios(given):
        scenarios[name] = figures
        print(name, json.dumps(figures), file=sys.stderr, flush=True)
    keys = ("max_bias_by_age", "mean_of_max", "calibration_error")
    worst = {key: {task: _worst(scenarios, task, key) for task in TASKS} for key in keys}
    figures = {"devices": given.devices, "seeds": given.seeds, "seconds": round(time.monotonic() - began, 1)}
    print(json.dumps({"benchmark": "censoring", **worst, **figures, "scenarios": scenarios}))


def _worst(scenarios: dict[str, Any], task: str, key: str) -> dict[str, float]:
    """Return the worst of all fleets, by each rule; of a remaining life as a share of the cap."""
    of = [figures for name, figures in scenarios.items() if name.startswith(task) and figures]
    return {rule: max(figures[rule][key] for figures in of) for rule in of[0]}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--devices", type=int, default=5_000)
    parser.add_argument("--at-risk", type=int, default=AT_RISK, help="lives watched at an age that is judged")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--shares", nargs="+", type=float, default=SHARES, help="of the lives that are censored")
    parser.add_argument("--aft", action="store_true", help="judge the candidate aft beside them")
    parser.add_argument("--quick", action="store_true", help="few devices, one seed: to see that it runs")
    given = parser.parse_args()
    if given.quick:
        given.seeds, given.devices, given.at_risk, given.shares, given.processes = 1, 600, 50, (0.5,), 1
    return given


if __name__ == "__main__":
    main()
