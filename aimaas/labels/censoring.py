"""Weights that correct for censoring: without them, whether a row has a label depends on the label.

A failure gives labels to all rows before it at once. A living device gives a row its label only after a whole horizon (or cap).
So each labelled row has the weight 1 over the probability that its label is known by now (inverse probability of censoring
weighting: Vock et al., Journal of Biomedical Informatics 61, 2016). That probability comes from the Kaplan-Meier curve of the time
to censoring. A *life* is the time between two outcomes of a run; its age starts at its first row. If no life is censored, all
weights are exactly 1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from aimaas.fleet import FleetSpec
from aimaas.labels.censoring_hazard import PERIODS, Hazard, Landmarks, hazard_of
from aimaas.labels.lifetimes import NEVER, labels, steps_needed

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Features = npt.NDArray[np.float32]

LEAST = 0.1  # the smallest probability that a weight divides by
OUTLIVE = (
    0.05  # share of the lives of one age that may outlive their observation; above that, rows of that age are dropped
)
# share of the censored lives at the end of observation above which that end counts for every life
ADMINISTRATIVE = 0.5
_AT_THE_END = (
    0.1  # of the horizon (cap): a life observed to this distance from the end of observation counts as observed to it
)

Clock = Literal["age", "calendar"]


class Watched(NamedTuple):
    """n lives, order keys (n,): the `first` row, and the failure, repair, retirement or newest row `until` which it was observed.

    `failed` (n,): whether it ended in a failure. `renewed` (n,): whether an outcome of the run came before it.
    """

    first: Int64
    until: Int64
    failed: Mask
    renewed: Mask

    def at(self, chosen: Int64) -> Watched:
        """The chosen lives."""
        return Watched(self.first[chosen], self.until[chosen], self.failed[chosen], self.renewed[chosen])


class Places(NamedTuple):
    """n rows, order keys (n,): the row's own, its life's `first` and `newest` row, the `failure`, and the `end` by repair or
    retirement (NEVER if there is none); `renewed` (n,) as in `Watched`.
    """

    order: Int64
    first: Int64
    newest: Int64
    failure: Int64
    end: Int64
    renewed: Mask

    def at(self, chosen: Mask | slice) -> Places:
        """The chosen rows."""
        return Places(*(part[chosen] for part in self))  # type: ignore[arg-type]

    @property
    def until(self) -> Int64:
        """The last order key at which each row's life was observed (n,)."""
        return np.where(self.failure != NEVER, self.failure, np.where(self.end != NEVER, self.end, self.newest))


@dataclass(frozen=True)
class Curve:
    """A Kaplan-Meier curve: it falls at `times` (k,), to `survival` (k + 1,), of which the first is 1."""

    times: Float64
    survival: Float64

    @classmethod
    def of(cls, events: Float64, at_risk: Float64) -> Curve:
        """The curve of the times of `events`, in any order, among those whose times `at_risk` are at least as large."""
        times, falls = np.unique(events, return_counts=True)
        left = np.sort(at_risk)
        watched = len(left) - np.searchsorted(left, times, "left")
        return cls(times, np.append(1.0, np.cumprod(1 - falls / np.maximum(watched, falls))))

    def reaching(self, t: Float64) -> Float64:
        """P(T >= t) (n,)."""
        found: Float64 = self.survival[np.searchsorted(self.times, t, "left")]
        return found

    def beyond(self, t: Float64) -> Float64:
        """P(T > t) (n,)."""
        found: Float64 = self.survival[np.searchsorted(self.times, t, "right")]
        return found

    def farthest(self, least: Float64) -> Float64:
        """The largest t (n,) with P(T >= t) >= `least`; infinite if the curve never falls below it."""
        at = np.searchsorted(-self.survival, -least, "right")
        found: Float64 = np.append(self.times, np.inf)[at - 1]
        return found


@dataclass(frozen=True)
class Stratum:
    """Curves by age for one kind of life: of the censoring, and of the failures."""

    censoring: Curve
    failure: Curve

    @classmethod
    def of(cls, age: Float64, failed: Mask, censored: Mask) -> Stratum:
        """The curves of lives observed until an `age` (n,); with a failure and a censoring at one age, the failure came first."""
        after_failures = np.where(failed, np.nextafter(age, -np.inf), age)
        return cls(Curve.of(age[censored], after_failures), Curve.of(age[failed], age))


class Watch(Protocol):
    """The probability that rows (n,) continue to be observed."""

    def chance(self, t: Float64) -> Float64:
        """P(a life is observed until the age t (n,), given that it was observed at its row)."""
        ...

    def farthest(self, least: float) -> Float64:
        """The largest age (n,) until which that probability is at least `least`; infinite if it always is."""
        ...


@dataclass(frozen=True)
class ByAge:
    """The same by age alone: for rows that are observed with the probability `watching` (n,)."""

    censoring: Curve
    watching: Float64

    def chance(self, t: Float64) -> Float64:
        """As `Watch`."""
        return self.censoring.reaching(t) / self.watching

    def farthest(self, least: float) -> Float64:
        """As `Watch`."""
        return self.censoring.farthest(self.watching * least)


@dataclass(frozen=True)
class Censoring:
    """How lives are censored: `strata` of lives that begin with their run, and of lives after an outcome of the run.

    With `clock` calendar, `end` is the end of observation of every life as an order key, otherwise NEVER. `by_chance` counts the
    lives that were censored before it. There is a `hazard` if the readings drive the censoring.
    """

    clock: Clock
    end: int
    strata: tuple[Stratum, Stratum]
    lives: int
    failures: int
    by_chance: int = 0
    hazard: Hazard | None = None

    @classmethod
    def of(cls, fleet: FleetSpec, watched: Watched) -> Censoring:
        """Estimate the censoring. Orders that are times share a calendar: if at least the share `ADMINISTRATIVE` of the censored
        lives were observed until the end of observation, that end is known for every life, also for lives that failed earlier, and
        only the others are censored by chance. Otherwise censoring depends on age.
        """
        censored, end, clock = ~watched.failed, NEVER, "age"
        at_the_end = _reached_the_end(fleet, watched)
        if censored.any() and at_the_end is not None:
            end = int(watched.until[~watched.failed].max() - _AT_THE_END * steps_needed(fleet))
            censored, clock = censored & ~at_the_end, "calendar"
        age = (watched.until - watched.first).astype(np.float64)
        kinds = (~watched.renewed, watched.renewed)
        first, later = (Stratum.of(age[k], watched.failed[k], censored[k]) for k in kinds)
        return cls(clock, end, (first, later), len(age), int(watched.failed.sum()), int(censored.sum()))  # type: ignore[arg-type]

    @property
    def is_any(self) -> bool:
        """Whether any life is censored."""
        return self.failures < self.lives

    def weights(self, fleet: FleetSpec, places: Places, label: Float64, features: Features | None = None) -> Float64:
        """The weights of rows (n,) with `label`: 1 over the probability that the label is known, at most 1 / `LEAST`.

        `features` (n, F) must be given if there is a `hazard`.

        The weight is 0 for rows that are dropped whatever their outcome: no device is observed for a horizon (cap) from their age
        on, and more than the share `OUTLIVE` of the lives would outlive the observation. If the share is smaller, it is 0 only for
        rows that outlive it. The weight is NaN for rows without a label.
        """
        weights = np.full(len(label), np.nan)
        known = ~np.isnan(label)
        for renewed, stratum in enumerate(self.strata):
            of = known & (places.renewed == bool(renewed))
            if of.any():
                chosen = places.at(of)
                weights[of] = self._weights(fleet, stratum, chosen, self._watch(stratum, chosen, features, of))
        return weights

    def _watch(self, stratum: Stratum, places: Places, features: Features | None, of: Mask) -> Watch:
        age = (places.order - places.first).astype(np.float64)
        if self.hazard is None:
            return ByAge(stratum.censoring, stratum.censoring.reaching(age))
        assert features is not None  # noqa: S101 - required if there is a hazard
        return self.hazard.ahead(age, places.renewed, features[of])

    def _weights(self, fleet: FleetSpec, stratum: Stratum, places: Places, watch: Watch) -> Float64:
        age, needed = (places.order - places.first).astype(np.float64), steps_needed(fleet)
        to_failure = np.where(places.failure == NEVER, np.inf, places.failure.astype(np.float64) - places.first)
        known_at = np.minimum(to_failure, age + needed)
        farthest = watch.farthest(LEAST)
        if self.end != NEVER:
            farthest = np.minimum(farthest, (self.end - places.first).astype(np.float64))
        outlive = stratum.failure.beyond(farthest) / stratum.failure.reaching(age)
        kept = (age + needed <= farthest) | ((known_at <= farthest) & (outlive <= OUTLIVE))
        return np.where(kept, 1 / np.maximum(watch.chance(known_at), LEAST), 0.0)


def _reached_the_end(fleet: FleetSpec, watched: Watched) -> Mask | None:
    """Which lives (n,) were observed until the end of observation; None if few censored ones were, or if orders are no times."""
    if fleet.order != "ts" or watched.failed.all():
        return None
    newest = watched.until[~watched.failed].max()
    at_the_end = ~watched.failed & (watched.until >= newest - _AT_THE_END * steps_needed(fleet))
    return at_the_end if at_the_end.sum() >= ADMINISTRATIVE * (~watched.failed).sum() else None


def labelled(
    fleet: FleetSpec, censoring: Censoring, places: Places, features: Features | None = None
) -> tuple[Float64, Float64]:
    """Label and weight (n,) of rows: the label is NaN if it is not known, or if the row is dropped.

    `features` (n, F) must be given if there is a `hazard`.
    """
    label = labels(fleet, places.order, places.newest, places.failure, places.end)
    weight = censoring.weights(fleet, places, label, features)
    return np.where(weight > 0, label, np.nan), weight


def with_hazard(fleet: FleetSpec, censoring: Censoring, landmarks: Landmarks, columns: tuple[int, ...]) -> Censoring:
    """The censoring with the hazard from the `columns` of the landmarks' features; unchanged if these predict nothing."""
    return replace(censoring, hazard=hazard_of(landmarks, steps_needed(fleet) / PERIODS, columns))


def landmark_rows(fleet: FleetSpec, places: Places) -> Mask:
    """Which rows (n,) of whole lives, each in its order, are landmarks: the first row of each period of a life."""
    piece = (places.order - places.first) // (steps_needed(fleet) / PERIODS)
    found = np.ones(len(piece), np.bool_)
    other_life = (places.first[1:] != places.first[:-1]) | (places.order[1:] < places.order[:-1])
    found[1:] = other_life | (piece[1:] != piece[:-1])
    return found


def landmarks_of(
    fleet: FleetSpec, censoring: Censoring, places: Places, device: Int64, features: Features
) -> Landmarks:
    """Rows as landmarks: a censored life counts half a step more, because its next row did not come a whole step later."""
    until = places.until
    by_chance = (places.failure == NEVER) & (until < censoring.end)
    left = (until - places.order).astype(np.float64) + fleet.order_units_per_step / 2
    return Landmarks(
        device, (places.order - places.first).astype(np.float64), places.renewed, left, by_chance, features
    )
