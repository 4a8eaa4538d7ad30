"""The progress of a search, and the best settings so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from aimaas.fleet import FailureWithin
from models.evaluation.evaluate import error_name
from models.search.studies import AS_GIVEN, Studies, settings_tried


@dataclass(frozen=True)
class Family:
    """The trials of one family: how many ended in which way, and the best settings so far.

    It has the mean error over the folds of the best trial and of the fleet file's own settings (None if no trial completed all
    folds). `without_fold` holds for each fold the settings that do best in the other folds; the fleet file's own are among
    them. It is empty if the fleet file's own settings did not complete all folds.
    """

    name: str
    complete: int
    pruned: int
    failed: int
    error: float | None
    as_given: float | None
    settings: Mapping[str, Any]
    without_fold: tuple[Mapping[str, Any], ...] = ()

    @property
    def ended(self) -> int:
        """Trials that have ended."""
        return self.complete + self.pruned + self.failed

    @property
    def is_better(self) -> bool:
        """Whether the best settings did better than the fleet file's own, which completed all folds too."""
        return self.error is not None and self.as_given is not None and self.error < self.as_given


@dataclass(frozen=True)
class Standing:
    """The families of a search, the error by which they are compared, and why settings failed."""

    families: tuple[Family, ...]
    measure: str
    refusals: tuple[str, ...] = ()

    @property
    def ended(self) -> int:
        """Trials that have ended."""
        return sum(f.ended for f in self.families)

    def better(self) -> dict[str, dict[str, Any]]:
        """Return settings that did better than the fleet file's own, in the form of `training.candidates`."""
        return {f.name: dict(f.settings) for f in self.families if f.is_better}

    def better_without(self, fold: int) -> dict[str, dict[str, Any]]:
        """Return `better` without the results of the devices that this fold holds out."""
        return {f.name: dict(f.without_fold[fold]) for f in self.families if f.without_fold}


def standing_of(studies: Studies) -> Standing:
    """Count the trials, and find the best."""
    trials = {name: studies.trials(name) for name in studies.job.families}
    refusals = {t.user_attrs["refused"]: None for of in trials.values() for t in of if "refused" in t.user_attrs}
    families = tuple(_family(studies, name, of) for name, of in trials.items())
    return Standing(families, error_name(isinstance(studies.job.fleet.task, FailureWithin)), tuple(refusals))


def _family(studies: Studies, name: str, trials: list[FrozenTrial]) -> Family:
    given = studies.job.fleet.training.candidates[name]
    whole = [t for t in trials if t.state == TrialState.COMPLETE]
    best = min(whole, key=lambda t: (_error(t), t.number), default=None)
    own = [_error(t) for t in whole if t.user_attrs.get(AS_GIVEN) == given]
    return Family(
        name,
        len(whole),
        sum(t.state == TrialState.PRUNED for t in trials),
        sum(t.state == TrialState.FAIL for t in trials),
        None if best is None else _error(best),
        own[0] if own else None,
        given if best is None else settings_tried(studies.job, name, best),
        _without_fold(studies, name, whole) if own else (),
    )


def _without_fold(studies: Studies, name: str, whole: list[FrozenTrial]) -> tuple[Mapping[str, Any], ...]:
    folds = studies.job.fleet.training.folds
    told = [t for t in whole if len(t.intermediate_values) == folds]
    errors = {t.number: fold_errors(t) for t in told}
    best = [
        min(told, key=lambda t: (sum(errors[t.number]) - errors[t.number][k], t.number)) for k in range(folds) if told
    ]
    return tuple(settings_tried(studies.job, name, t) for t in best)


def fold_errors(trial: FrozenTrial) -> list[float]:
    """Return the error in each fold of a trial that completed all folds: it reported means of the first ones."""
    means = [trial.intermediate_values[step] for step in sorted(trial.intermediate_values)]
    sums = [0.0, *(mean * (i + 1) for i, mean in enumerate(means))]
    return [after - before for before, after in pairwise(sums)]


def _error(trial: FrozenTrial) -> float:
    assert trial.value is not None  # noqa: S101 - a complete trial has one
    return trial.value
