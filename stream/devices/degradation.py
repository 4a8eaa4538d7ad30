"""Run-to-failure degradation: the physics that every simulated device follows, whatever its fleet.

A reading is what a healthy device shows in the present operating regime, plus the make of this device, influences that sensors
share, wear and noise. Wear is hidden; it grows as exp(-(remaining / scale)^shape): the damage propagation of Saxena et al. 2008 for
shape 1, an onset shortly before the failure for larger shapes. Each fault mode shows wear in other sensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Factor:
    """An influence that several sensors share, such as the weather: loadings (C,) and how much of it lasts to the next row."""

    loading: Float64
    persistence: float


@dataclass(frozen=True)
class FaultMode:
    """How a worn-out device looks: change of each sensor (G, C) at the failure; `share` of the failures."""

    signature: Float64
    share: float


@dataclass(frozen=True)
class Life:
    """Rows of a run: log-normal about `median`, kept between `low` and `high`."""

    median: float
    spread: float
    low: int
    high: int


@dataclass(frozen=True)
class Wear:
    """`scale` in rows and `shape` of the wear's growth; a new device has up to `initial` of wear already."""

    scale: float
    shape: float
    initial: float


@dataclass(frozen=True)
class Profile:
    """All that makes one fleet differ from another. S settings, C sensors, G operating regimes.

    Settings: `centres` (G, S), `weights` (G,), `jitter` (S,). Sensors: `base` (G, C) when healthy, `ramp` (G, C) gained with each
    row of a run, `noise` and `variation` between devices (C,). `digits` (S + C,) are the decimals that the sensors report.
    `runs` a device goes through (low, high); `failing`: share of them that ends in a failure.
    """

    centres: Float64
    weights: Float64
    jitter: Float64
    base: Float64
    ramp: Float64
    noise: Float64
    variation: Float64
    factors: tuple[Factor, ...]
    modes: Mapping[str, FaultMode]
    life: Life
    wear: Wear
    runs: tuple[int, int]
    failing: float
    digits: tuple[int, ...]


@dataclass(frozen=True)
class Run:
    """One run of a device: readings (T, S + C), and the mode of the failure it ended in, None where it was repaired before."""

    values: Float64
    mode: str | None


def make_of_device(profile: Profile, rng: np.random.Generator) -> Float64:
    """What this device shows differently from the average one (C,)."""
    return rng.normal(0, 1, len(profile.variation)) * profile.variation


def simulate_run(profile: Profile, make: Float64, rng: np.random.Generator) -> Run:
    """One run from new (or repaired) to failure, or to a repair well before it."""
    life = profile.life
    rows = int(np.clip(round(life.median * np.exp(rng.normal(0, life.spread))), life.low, life.high))
    fails = rng.random() < profile.failing
    shares = np.array([mode.share for mode in profile.modes.values()])
    mode = list(profile.modes)[int(rng.choice(len(shares), p=shares / shares.sum()))]
    spared = 0.0 if fails else profile.wear.scale * rng.uniform(1.7, 4)
    wear = _wear(profile.wear, np.arange(rows - 1, -1, -1, dtype=np.float64) + spared, rng)
    regime = rng.choice(len(profile.weights), size=rows, p=profile.weights / profile.weights.sum())
    settings = profile.centres[regime] + rng.normal(0, 1, (rows, profile.jitter.size)) * profile.jitter
    signature = profile.modes[mode].signature[regime] * rng.uniform(0.9, 1.1)
    sensors = profile.base[regime] + make + np.cumsum(profile.ramp[regime], axis=0) + signature * wear[:, None]
    for factor in profile.factors:
        sensors += _lasting(factor.persistence, rows, rng)[:, None] * factor.loading
    sensors += rng.normal(0, 1, sensors.shape) * profile.noise
    return Run(np.concatenate([settings, sensors], axis=1), mode if fails else None)


def _wear(wear: Wear, remaining: Float64, rng: np.random.Generator) -> Float64:
    """Wear (T,) between 0 and 1 by the rows that remain; its pace differs a little from run to run."""
    initial = rng.uniform(0, wear.initial)
    scale = wear.scale * np.exp(rng.normal(0, 0.06))
    grown: Float64 = initial + (1 - initial) * np.exp(-((remaining / scale) ** wear.shape))
    return grown


def _lasting(persistence: float, rows: int, rng: np.random.Generator) -> Float64:
    """First-order autoregression (T,) of deviation 1."""
    shocks = rng.normal(0, 1, rows)
    shocks[1:] *= np.sqrt(1 - persistence**2)
    if persistence == 0:
        return shocks
    for i in range(1, rows):
        shocks[i] += persistence * shocks[i - 1]
    return shocks
