"""Regimes: the effect of the operating settings on the channels, found in a sample of rows of the training devices.

If the settings form tight clusters, these are the regimes. If they vary continuously or form loose clusters, each channel also has
a line on the settings within each regime. If that explains almost nothing, there is one regime without lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from aimaas.kernel.fit import STEADY, Matrix, Regimes, channel_matrix
from aimaas.kernel.plan import FeaturePlan

Mask = npt.NDArray[np.bool_]

_TIGHT = 0.999  # share of the settings' variance that tight clusters explain; 0.99 merges two of the six of C-MAPSS
_LEAST = 0.05  # share of the channels' variance that lines must explain; below it the settings have no effect
_SIMPLER = 0.01  # the fewest regimes are used whose lines explain at most this much less than the best
_ENOUGH = 4_000  # rows from which regimes are found
_ROWS_A_SETTING = 20  # a regime with fewer rows gets no lines
_FLAT = 0.01  # of a setting's deviation: a setting that varies less within a regime gets no slope there


def find_regimes(plan: FeaturePlan, rows: Matrix, seed: int) -> Regimes:
    """The effect of the settings in (n, R) raw rows of training devices: at most `plan.max_regimes` clusters, and lines if useful.

    Tight clusters are the fewest that explain 99.9 % of the settings' variance. Lines are evaluated on rows that they have not
    seen.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    rows = _thinned(rows, plan.settings, seed)
    settings, channels = rows[:, : plan.settings], channel_matrix(plan, rows)
    channels[~np.isfinite(channels)] = np.nan  # a derived channel that divides by zero
    none = Regimes(np.zeros((1, plan.settings), np.float32), np.zeros(plan.settings, np.float32))
    if not plan.settings or not len(settings):
        return none
    with threadpool_limits(1):  # with so few rows, more threads only wait for each other, seconds on a busy machine
        loose = []
        for regimes, tight in _clusters(settings, plan.max_regimes, seed):
            if tight:
                everywhere = np.ones(len(settings), np.bool_)
                return replace(regimes, explained=_explained(regimes, settings, channels, everywhere, everywhere))
            loose.append(regimes)
        return _with_lines(loose, settings, channels) or (none if plan.max_regimes == 1 else loose[0])


def _thinned(rows: Matrix, settings: int, seed: int) -> Matrix:
    """Rows without null settings, some thousands at most, drawn by the seed: regimes are coarse, and clustering is slow."""
    whole = rows[np.isfinite(rows[:, :settings]).all(axis=1)]
    if len(whole) <= _ENOUGH:
        return whole
    return whole[np.sort(np.random.default_rng(seed).choice(len(whole), _ENOUGH, replace=False))]


def _clusters(settings: Matrix, most: int, seed: int) -> Iterator[tuple[Regimes, bool]]:
    """One regime, then two, and so on, each with whether it is tight; settings (n, S) are scaled by their deviation."""
    from sklearn.cluster import KMeans

    deviation = settings.std(axis=0)
    weights = np.where(deviation > STEADY, 1 / np.maximum(deviation, STEADY), 0)
    scaled = settings * weights
    total = float(((scaled - scaled.mean(axis=0)) ** 2).sum())
    yield Regimes(settings.mean(axis=0, keepdims=True).astype(np.float32), weights.astype(np.float32)), False
    for k in range(2, min(most, len(np.unique(scaled, axis=0))) + 1):
        found = KMeans(k, n_init=3, random_state=seed).fit(scaled)
        centres = found.cluster_centers_ / np.where(weights > 0, weights, 1)
        order = np.lexsort(centres.T[::-1])
        regimes = Regimes(centres[order].astype(np.float32), weights.astype(np.float32))
        yield regimes, found.inertia_ <= (1 - _TIGHT) * total


def _with_lines(loose: list[Regimes], settings: Matrix, channels: Matrix) -> Regimes | None:
    """The fewest regimes whose lines explain about as much of the channels (n, C) as any; None if none explains enough."""
    even = np.arange(len(settings)) % 2 == 0
    halves = (even, ~even)
    shares = [
        np.mean([_explained(_lined(r, settings[a], channels[a]), settings, channels, a, ~a) or 0.0 for a in halves])
        for r in loose
    ]
    if max(shares) < _LEAST:
        return None
    at = next(i for i, share in enumerate(shares) if share >= max(shares) - _SIMPLER)
    return replace(_lined(loose[at], settings, channels), explained=float(shares[at]))


def _lined(regimes: Regimes, settings: Matrix, channels: Matrix) -> Regimes:
    """The regimes with the lines of the channels (n, C) on the settings (n, S), by least squares in each regime."""
    weights, of = regimes.weights.astype(np.float64), regimes.assign(settings)
    slopes = np.zeros((len(regimes.centres), settings.shape[1], channels.shape[1]))
    for g, centre in enumerate(regimes.centres):
        mine = of == g
        slopes[g] = _slopes((settings[mine] - centre) * weights, channels[mine]) * weights[:, None]
    return replace(regimes, slopes=slopes.astype(np.float32)) if slopes.any() else regimes


def _slopes(beside: Matrix, channels: Matrix) -> Matrix:
    """Slopes (S, C) of the channels (n, C), NaN for null, on the distances of the settings (n, S) from the centre."""
    slopes, present = np.zeros((beside.shape[1], channels.shape[1])), np.isfinite(channels)
    whole: Mask = np.logical_and.reduce(present, axis=0)
    together = [(np.ones(len(beside), np.bool_), whole)] if whole.any() else []
    alone = [(present[:, c], np.arange(present.shape[1]) == c) for c in np.flatnonzero(~whole)]
    for rows, columns in [*together, *alone]:
        if rows.sum() >= _ROWS_A_SETTING * (1 + beside.shape[1]):
            terms = np.column_stack([np.ones(rows.sum()), beside[rows]])
            slopes[:, columns] = np.linalg.lstsq(terms, channels[np.ix_(rows, columns)], rcond=_FLAT)[0][1:]
    return slopes


def _explained(regimes: Regimes, settings: Matrix, channels: Matrix, learned: Mask, judged: Mask) -> float | None:
    """Share of the variance of the `judged` rows that the regimes' means and lines from the `learned` rows explain.

    The mean over the channels that vary; None if none does.
    """
    of = regimes.assign(settings) if len(regimes.centres) > 1 else np.zeros(len(settings), np.int64)
    beside = channels - regimes.lines(settings, of)
    mean = _mean(channels[learned])
    before, after = np.nansum((channels[judged] - mean) ** 2, axis=0), np.zeros(channels.shape[1])
    for g in np.unique(of[judged]):
        mine = of == g
        values, about = (beside, _mean(beside[learned & mine])) if (learned & mine).any() else (channels, mean)
        after += np.nansum((values[judged & mine] - about) ** 2, axis=0)
    varies = np.sqrt(before / max(judged.sum(), 1)) > STEADY * np.maximum(np.abs(mean), 1)
    return float(np.mean(1 - after[varies] / before[varies])) if varies.any() else None


def _mean(values: Matrix) -> Matrix:
    """Mean (C,) of values (n, C) without NaN; 0 if there are none."""
    mean: Matrix = np.nansum(values, axis=0) / np.maximum(np.isfinite(values).sum(axis=0), 1)
    return mean
