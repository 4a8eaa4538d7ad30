"""The rate of censoring given the readings: for fleets that remove devices because they look worn.

A curve by age has one probability for all devices of an age. If the readings drive both wear and censoring, a bias remains. So the
rate of censoring is learned from the readings too (Robins, Finkelstein, Biometrics 56, 2000): Poisson regression by boosted trees
on person-periods, which are pieces of a horizon (cap) that a life was observed for after a row. The readings are those of the row
that gets the weight, a landmark, also for later pieces (van Houwelingen, Putter: Dynamic Prediction in Clinical Survival Analysis,
2012). The model is used only if it improves the likelihood of devices that it has not seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

PERIODS = 5  # pieces of a horizon (cap)
FEWEST = 100  # lives censored by chance; with fewer, the effect of readings cannot be estimated
MOST_LANDMARKS = 20_000
MOST_COLUMNS = 16  # features that the trees read: those with the highest correlation with early censoring
_PAYS = 2.0  # standard errors, over devices, by which the log-likelihood of unseen devices must rise
# larger trees overfit the devices, whose rows resemble each other
_TREES, _RATE, _LEAVES, _ROWS = 40, 0.1, 8, 500
_SHORTEST = 1e-3  # of a period, the shortest observation of a life


class Landmarks(NamedTuple):
    """n rows and how their lives continued: `device` (n,) numbers, `age` (n,), whether an outcome of the run came before
    (`renewed`), how long the life was observed after the row (`left`), whether it was then censored by chance, and features (n, F).
    """

    device: npt.NDArray[np.int64]
    age: Float64
    renewed: Mask
    left: Float64
    censored: Mask
    features: npt.NDArray[np.float32]

    def at(self, chosen: Any) -> Landmarks:
        """The chosen rows."""
        return Landmarks(*(part[chosen] for part in self))


@dataclass(frozen=True)
class Ahead:
    """The cumulative rate of censoring `reached` (n, PERIODS + 1) by the ends of the periods after rows of `age` (n,)."""

    period: float
    age: Float64
    reached: Float64

    def chance(self, t: Float64) -> Float64:
        """P(a life is observed until the age t (n,), at most a horizon after its row)."""
        passed = np.clip((t - self.age) / self.period, 0, PERIODS)
        i, row = np.minimum(passed.astype(np.int64), PERIODS - 1), np.arange(len(passed))
        low, high = self.reached[row, i], self.reached[row, i + 1]
        found: Float64 = np.exp(-(low + (passed - i) * (high - low)))
        return found

    def farthest(self, least: float) -> Float64:
        """The largest age (n,) until which that is at least `least`; infinite if that is beyond the horizon."""
        limit = -np.log(least)
        i = np.minimum((self.reached[:, 1:] < limit).sum(axis=1), PERIODS - 1)
        row = np.arange(len(i))
        low, high = self.reached[row, i], self.reached[row, i + 1]
        passed = i + (limit - low) / np.maximum(high - low, 1e-12)
        return np.where(self.reached[:, -1] < limit, np.inf, self.age + passed * self.period)


@dataclass(frozen=True)
class Hazard:
    """The rate of censoring per `period`, by age, periods since the row, and the row's features at the positions `columns`."""

    period: float
    columns: tuple[int, ...]
    model: Any

    def ahead(self, age: Float64, renewed: Mask, features: npt.NDArray[np.float32]) -> Ahead:
        """The observation to expect for rows (n,) with `features` (n, F)."""
        looked_at = features[:, self.columns]
        rates = [
            self.model.predict(_inputs(age, renewed, looked_at, piece, self.period)) if len(age) else np.zeros(0)
            for piece in range(PERIODS)
        ]
        return Ahead(self.period, age, np.cumsum([np.zeros(len(age)), *rates], axis=0).T)


def hazard_of(landmarks: Landmarks, period: float, columns: tuple[int, ...]) -> Hazard | None:
    """The hazard, learned from the `columns` of the landmarks' features; None if these predict nothing for unseen devices.

    Models of each half of the devices are evaluated on the other half: with the readings, and by age alone. `period` is in the unit
    of the ages. The same landmarks in the same order give the same bits.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(1):  # sums over several threads do not have the same bits everywhere
        gains = [_gains(landmarks, period, columns, half) for half in (0, 1)]
        gain = np.concatenate(gains)
        if not gain.size or gain.mean() <= _PAYS * gain.std() / np.sqrt(len(gain)):
            return None
        chosen = telling(landmarks, period, columns)
        return Hazard(period, chosen, _fitted(landmarks, period, chosen))


def telling(landmarks: Landmarks, period: float, columns: tuple[int, ...]) -> tuple[int, ...]:
    """At most `MOST_COLUMNS` of the columns, in their order: those with the highest correlation with censoring within a period."""
    if len(columns) <= MOST_COLUMNS:
        return columns
    soon = (landmarks.censored & (landmarks.left <= period)).astype(np.float64)
    values = landmarks.features[:, columns].astype(np.float64)
    spread = np.maximum(values.std(axis=0), 1e-12)
    score = np.abs((values - values.mean(axis=0)).T @ (soon - soon.mean())) / spread
    return tuple(columns[i] for i in np.sort(np.argsort(-score, kind="stable")[:MOST_COLUMNS]).tolist())


class _Pieces(NamedTuple):
    """Person-periods: the landmark, inputs of the model, how long observed in periods, and whether censored in it."""

    of: npt.NDArray[np.int64]
    inputs: Float64
    watched: Float64
    censored: Mask


def _pieces(landmarks: Landmarks, period: float, columns: tuple[int, ...]) -> _Pieces:
    parts = list(_parts(landmarks, period, columns))
    return _Pieces(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _parts(landmarks: Landmarks, period: float, columns: tuple[int, ...]) -> Iterator[_Pieces]:
    looked_at, passed = landmarks.features[:, columns], landmarks.left / period
    for piece in range(PERIODS):
        of = np.flatnonzero(passed > piece)
        inputs = _inputs(landmarks.age[of], landmarks.renewed[of], looked_at[of], piece, period)
        ends = landmarks.censored[of] & (passed[of] <= piece + 1)
        yield _Pieces(of, inputs, np.clip(passed[of] - piece, _SHORTEST, 1.0), ends)


def _inputs(age: Float64, renewed: Mask, looked_at: npt.NDArray[np.float32], piece: int, period: float) -> Float64:
    """Inputs (n, 3 + C) of the model: the age in the middle of the piece, the number of the piece, and the row's features."""
    return np.column_stack([age + (piece + 0.5) * period, np.full(len(age), piece), renewed, looked_at])


def _fitted(landmarks: Landmarks, period: float, columns: tuple[int, ...]) -> Any:
    from sklearn.ensemble import HistGradientBoostingRegressor

    found = _pieces(landmarks, period, columns)
    model = HistGradientBoostingRegressor(
        loss="poisson", max_iter=_TREES, learning_rate=_RATE, max_leaf_nodes=_LEAVES, min_samples_leaf=_ROWS,
        early_stopping=False, random_state=0,
    )  # fmt: skip
    return model.fit(found.inputs, found.censored / found.watched, sample_weight=found.watched)


def _gains(landmarks: Landmarks, period: float, columns: tuple[int, ...], half: int) -> Float64:
    """The gain of each device's log-likelihood in a half by the readings; none if the other half taught nothing."""
    judged = landmarks.device % 2 == half
    learned, seen = landmarks.at(~judged), landmarks.at(judged)
    if not learned.censored.any() or not len(seen.age):
        return np.zeros(0)
    logs = []
    for looked_at in (telling(learned, period, columns), ()):
        found = _pieces(seen, period, looked_at)
        rate = _fitted(learned, period, looked_at).predict(found.inputs)
        logs.append(np.where(found.censored, np.log(rate), 0.0) - found.watched * rate)
    by_device = np.unique(seen.device[found.of], return_inverse=True)[1]
    gains: Float64 = np.bincount(by_device, logs[0] - logs[1]).astype(np.float64)
    return gains
