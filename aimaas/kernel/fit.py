"""The fit: the numbers that normalisation learned from the training devices, as a versioned artefact that ships with the model.

Regimes are clusters of the operating settings (aimaas/kernel/regimes.py finds them); each has a mean and a scale per channel. If
settings vary within a regime, the line of each channel on the settings is removed as well. Moments are summed per regime and can
be merged, so that Spark computes them in parts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

import msgspec
import numpy as np
import numpy.typing as npt

from aimaas.fleet.expression import evaluate
from aimaas.kernel.plan import FeaturePlan

Matrix = npt.NDArray[np.float64]

STEADY = 1e-6  # a channel whose deviation is this small compared with its mean is constant: scaled to 0


class Fit(msgspec.Struct, frozen=True, omit_defaults=True):
    """Regime centres (G × settings), weight of each setting in the distance, mean and scale (G × C; 0 for steady channels).

    `slopes` (G × settings × C) are the changes of each channel per unit of a setting within a regime; none if settings do not vary
    there. `explained` is the share of the channels' variance that the settings explain; None if they explain nothing, or if an
    older release computed the fit.
    """

    centres: tuple[tuple[float, ...], ...]
    weights: tuple[float, ...]
    means: tuple[tuple[float, ...], ...]
    scales: tuple[tuple[float, ...], ...]
    slopes: tuple[tuple[tuple[float, ...], ...], ...] = ()
    explained: float | None = None

    @property
    def id(self) -> str:
        """16 hex digits that change with anything in the fit."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:16]


@dataclass(frozen=True)
class Regimes:
    """Cluster centres (G, S) and weights (S,) float32; distance is the sum of ((x - centre) * weight)².

    `slopes` (G, S, C) float32 and `explained` are as in `Fit`.
    """

    centres: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]
    slopes: npt.NDArray[np.float32] | None = None
    explained: float | None = None

    def assign(self, settings: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
        """Index of the nearest centre for each row of (n, S) settings, ties to the lower index; float32 as in the kernel."""
        given = settings.astype(np.float32)
        distance = np.zeros((len(given), len(self.centres)), np.float32)
        for s in range(given.shape[1]):  # one setting after the other, in the kernel's order of addition
            scaled = (given[:, s : s + 1] - self.centres[None, :, s]) * self.weights[s]
            distance += scaled * scaled
        nearest: npt.NDArray[np.int64] = np.argmin(distance, axis=1)
        return nearest

    def lines(self, settings: Matrix, of: npt.NDArray[np.int64]) -> Matrix | float:
        """The effect of the settings (n, S) of rows in the regimes `of` (n,) on each channel (n, C); 0 without slopes."""
        if self.slopes is None:
            return 0.0
        beside = settings - self.centres[of]
        added: Matrix = sum(beside[:, s, None] * self.slopes[of, s] for s in range(settings.shape[1]))
        return added


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
    """Compute moments of raw rows (n, R). Nulls are left out, and rows with null settings too, because they belong to no regime."""
    rows = rows[np.isfinite(rows[:, : plan.settings]).all(axis=1)]
    settings = rows[:, : plan.settings]
    of = regimes.assign(settings) if len(regimes.centres) > 1 else np.zeros(len(rows), np.int64)
    values = channel_matrix(plan, rows) - regimes.lines(settings, of) - shift
    present = np.isfinite(values)
    values = np.where(present, values, 0)
    one_hot = (of[None, :] == np.arange(len(regimes.centres))[:, None]).astype(np.float64)
    return Moments(one_hot @ present, one_hot @ values, one_hot @ (values * values), shift)


def finish(regimes: Regimes, parts: Iterable[Moments]) -> Fit:
    """The fit of all parts together; merge them in a fixed order, because float sums depend on it."""
    m = reduce(Moments.merged, parts)
    n = np.maximum(m.count, 1)
    about = m.total / n
    deviation = np.sqrt(np.maximum(m.squares / n - about**2, 0))
    means = about + m.shift
    steady = deviation <= STEADY * np.maximum(np.abs(means), 1)
    scales = np.where(steady | (m.count < 2), 0, 1 / np.where(deviation > 0, deviation, 1))
    slopes = () if regimes.slopes is None else tuple(_rows(of) for of in regimes.slopes)
    weights = tuple(map(float, regimes.weights))
    return Fit(_rows(regimes.centres), weights, _rows(means), _rows(scales), slopes, regimes.explained)


def _rows(matrix: npt.NDArray[np.floating]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(x) for x in row) for row in matrix.astype(np.float32))
