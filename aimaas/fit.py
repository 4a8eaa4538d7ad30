"""The fit: what normalisation learned from the training devices, as a versioned artefact that travels with the model.

Regimes are clusters of the operating settings; each has a mean and a scale per channel. Moments are summed per regime and can be
merged, so that Spark computes them in parts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

import msgspec
import numpy as np
import numpy.typing as npt

from aimaas.expression import evaluate
from aimaas.plan import FeaturePlan

Matrix = npt.NDArray[np.float64]

_EXPLAINED = 0.999  # share of the settings' variance that regimes must explain; 0.99 merges two of the six of C-MAPSS
_ENOUGH = 4_000  # rows from which regimes are found
_STEADY = 1e-6  # a channel whose deviation is this small beside its mean says nothing: scaled to 0


class Fit(msgspec.Struct, frozen=True):
    """Regime centres (G × settings), weight of each setting in the distance, mean and scale (G × C; 0 for steady channels)."""

    centres: tuple[tuple[float, ...], ...]
    weights: tuple[float, ...]
    means: tuple[tuple[float, ...], ...]
    scales: tuple[tuple[float, ...], ...]

    @property
    def id(self) -> str:
        """16 hex digits that change when anything in the fit does."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:16]


def fit_from_json(text: bytes | str) -> Fit:
    """Read a fit back. Raises msgspec.ValidationError."""
    return msgspec.json.decode(text, type=Fit)


@dataclass(frozen=True)
class Regimes:
    """Cluster centres (G, S) and weights (S,) float32; distance is the sum of ((x - centre) * weight)²."""

    centres: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]

    def assign(self, settings: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
        """Index of the nearest centre for each row of (n, S) settings, ties to the lower index; float32 as in the kernel."""
        given = settings.astype(np.float32)
        distance = np.zeros((len(given), len(self.centres)), np.float32)
        for s in range(given.shape[1]):  # one setting after the other, as the kernel adds them
            scaled = (given[:, s : s + 1] - self.centres[None, :, s]) * self.weights[s]
            distance += scaled * scaled
        nearest: npt.NDArray[np.int64] = np.argmin(distance, axis=1)
        return nearest


def find_regimes(plan: FeaturePlan, rows: Matrix, seed: int) -> Regimes:
    """Cluster the settings of (n, R) raw rows of training devices: the fewest regimes that explain 99.9 % of the variance.

    Settings that only jitter around one point explain nothing by clusters and give one regime.
    """
    settings = _thinned(rows[:, : plan.settings], seed)
    if plan.max_regimes == 1 or not plan.settings or not len(settings):
        return Regimes(np.zeros((1, plan.settings), np.float32), np.zeros(plan.settings, np.float32))
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    deviation = settings.std(axis=0)
    weights = np.where(deviation > _STEADY, 1 / np.maximum(deviation, _STEADY), 0)
    scaled = settings * weights
    total = float(((scaled - scaled.mean(axis=0)) ** 2).sum())
    points = len(np.unique(scaled, axis=0))
    for k in range(2, min(plan.max_regimes, points) + 1):
        with threadpool_limits(1):  # so few rows: more threads only wait for each other, seconds on a busy machine
            found = KMeans(k, n_init=3, random_state=seed).fit(scaled)
        if found.inertia_ <= (1 - _EXPLAINED) * total:
            centres = found.cluster_centers_ / np.where(weights > 0, weights, 1)
            order = np.lexsort(centres.T[::-1])
            return Regimes(centres[order].astype(np.float32), weights.astype(np.float32))
    return Regimes(settings.mean(axis=0, keepdims=True).astype(np.float32), weights.astype(np.float32))


def _thinned(settings: Matrix, seed: int) -> Matrix:
    """Rows without nulls, some thousands at most, drawn by the seed: regimes are coarse, and clustering all rows is slow."""
    whole = settings[np.isfinite(settings).all(axis=1)]
    if len(whole) <= _ENOUGH:
        return whole
    return whole[np.sort(np.random.default_rng(seed).choice(len(whole), _ENOUGH, replace=False))]


def channel_matrix(plan: FeaturePlan, rows: Matrix) -> Matrix:
    """Channels (n, C) of raw rows (n, R): the sensors, then the derived ones; nulls (NaN) stay NaN."""
    derived = [evaluate(program, rows)[:, None] for program in plan.programs]
    return np.concatenate([rows[:, plan.settings :], *derived], axis=1)


@dataclass(frozen=True)
class Moments:
    """Count, sum and sum of squares about `shift` per regime and channel, each (G, C); `shift` (C,) keeps digits."""

    count: Matrix
    total: Matrix
    squares: Matrix
    shift: Matrix

    def merged(self, other: Moments) -> Moments:
        """Moments of both parts; both must have the same shift."""
        return Moments(self.count + other.count, self.total + other.total, self.squares + other.squares, self.shift)


def moments(plan: FeaturePlan, regimes: Regimes, shift: Matrix, rows: Matrix) -> Moments:
    """Moments of raw rows (n, R); nulls are left out, and so are rows whose settings are null: they belong to no regime."""
    rows = rows[np.isfinite(rows[:, : plan.settings]).all(axis=1)]
    values = channel_matrix(plan, rows) - shift
    present = np.isfinite(values)
    values = np.where(present, values, 0)
    of = regimes.assign(rows[:, : plan.settings]) if len(regimes.centres) > 1 else np.zeros(len(rows), np.int64)
    one_hot = (of[None, :] == np.arange(len(regimes.centres))[:, None]).astype(np.float64)
    return Moments(one_hot @ present, one_hot @ values, one_hot @ (values * values), shift)


def finish(regimes: Regimes, parts: Iterable[Moments]) -> Fit:
    """The fit of all parts together; merge them in a fixed order, since float sums depend on it."""
    m = reduce(Moments.merged, parts)
    n = np.maximum(m.count, 1)
    about = m.total / n
    deviation = np.sqrt(np.maximum(m.squares / n - about**2, 0))
    means = about + m.shift
    steady = deviation <= _STEADY * np.maximum(np.abs(means), 1)
    scales = np.where(steady | (m.count < 2), 0, 1 / np.where(deviation > 0, deviation, 1))
    return Fit(_rows(regimes.centres), tuple(map(float, regimes.weights)), _rows(means), _rows(scales))


def _rows(matrix: npt.NDArray[np.floating]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(x) for x in row) for row in matrix.astype(np.float32))
