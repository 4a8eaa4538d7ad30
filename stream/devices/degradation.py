"""Run-to-failure degradation: the physics that every simulated device of any fleet follows.

A reading is the value of a healthy device in the present operating regime, plus the deviation of this device, influences
that sensors share, wear and noise. Wear is hidden. It grows as exp(-(remaining / scale)^shape): for shape 1 this is the
damage propagation of Saxena et al. 2008, for larger shapes an onset shortly before the failure. Each fault mode shows wear
in other sensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Factor:
    """An influence that several sensors share, such as weather: loadings (C,), and the share of it that lasts to the next row."""

    loading: Float64
    persistence: float


@dataclass(frozen=True)
class FaultMode:
    """The look of a worn-out device: the change of each sensor (G, C) at the failure, and `share`, the share of the failures."""

    signature: Float64
    share: float


@dataclass(frozen=True)
class Life:
    """Rows of a run: log-normal with the median `median`, limited to `low` and `high`."""

    median: float
    spread: float
    low: int
    high: int


@dataclass(frozen=True)
class Wear:
    """Growth of the wear: `scale` in rows, and `shape`; a new device has up to `initial` of wear already."""

    scale: float
    shape: float
    initial: float


@dataclass(frozen=True)
class Profile:
    """The differences between fleets. S settings, C sensors, G operating regimes.

    Settings: `centres` (G, S), `weights` (G,), `jitter` (S,). Sensors: `base` (G, C) of a healthy device, `ramp` (G, C)
    gained with each row of a run, `noise` and `variation` between devices (C,). `digits` (S + C,) are the reported
    decimals. `runs` is the number of runs of a device (low, high), `failing` the share of them that ends in a failure.
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
    """One run of a device: readings (T, S + C), and the mode of its failure; None if it was repaired before."""

    values: Float64
    mode: str | None


def make_of_device(profile: Profile, rng: np.random.Generator) -> Float64:
    """Return the deviation of this device from the average one (C,)."""
    return rng.normal(0, 1, len(profile.variation)) * profile.variation


def simulate_run(profile: Profile, make: Float64, rng: np.random.Generator) -> Run:
    """Simulate one run of a new or repaired device, to its failure or to a repair well before."""
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
    """Return wear (T,) between 0 and 1 by the remaining rows; its pace differs a little from run to run."""
    initial = rng.uniform(0, wear.initial)
    scale = wear.scale * np.exp(rng.normal(0, 0.06))
    grown: Float64 = initial + (1 - initial) * np.exp(-((remaining / scale) ** wear.shape))
    return grown


def _lasting(persistence: float, rows: int, rng: np.random.Generator) -> Float64:
    """Return a first-order autoregression (T,) with deviation 1."""
    shocks = rng.normal(0, 1, rows)
    shocks[1:] *= np.sqrt(1 - persistence**2)
    if persistence == 0:
        return shocks
    for i in range(1, rows):
        shocks[i] += persistence * shocks[i - 1]
    return shocks
