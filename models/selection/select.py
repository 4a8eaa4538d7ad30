"""Grouped cross-validation of all candidates, and the choice among them.

The fold models have not seen the validation devices. So their errors there measure a candidate on new devices without further
training, and the candidate with the smallest mean of these errors is chosen. Each fold model is evaluated by itself: the mean of
their predictions would be an ensemble of as many models as there are folds. Its error would be lower than the error of the one
model that ships, most of all for candidates that vary between trainings. Every training runs on one thread, and trainings run in
parallel, so the same seed gives the same bits on any number of cores.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from aimaas.errors import TrainingRefusedError
from aimaas.training.report import CandidateReport
from models.evaluation.evaluate import Float64, error_of
from models.families.candidates import Candidate, predict
from models.families.mean import mean_of
from models.families.scikit import Estimator
from models.samples import Samples
from models.selection.stacking import learned_weights
from models.selection.trial_data import Folds, TrialData
from models.weights import at as weights_at

Progress = Callable[[str, int, int], None]  # what was done, steps done, steps in all


@dataclass(frozen=True)
class Tried:
    """A candidate's report, and clipped predictions of fold models that have not seen the row.

    `held_out` (n,) is for the training rows, `validation` (m,) for the validation rows, whose devices are dealt to the folds
    (`one_each`). `by_fold` (K, m) are the predictions of each fold model for the validation rows. `estimators` are the fold
    models.
    """

    report: CandidateReport
    held_out: npt.NDArray[np.float64]
    validation: npt.NDArray[np.float64]
    estimators: tuple[Estimator, ...]
    by_fold: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Trial:
    """One trained model of one fold, its predictions for the fold's held-out rows and for the validation rows, both clipped."""

    candidate: str
    fold: int
    held_out: npt.NDArray[np.float64]
    validation: npt.NDArray[np.float64]
    seconds: float
    estimator: Estimator


def grouped_folds(samples: Samples, folds: int, seed: int, classify: bool) -> Folds:
    """Return positions of training and held-out rows of each fold; a device is in one of the two."""
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    kind = StratifiedGroupKFold if classify else GroupKFold
    cut: Iterator[Any] = kind(folds, shuffle=True, random_state=seed).split(
        samples.features, samples.targets, samples.devices
    )
    found = list(cut)
    for i, (fitted, _) in enumerate(found):
        if len(np.unique(samples.targets[fitted])) < 2:
            raise TrainingRefusedError(
                f"the training devices of fold {i + 1} of {folds} have only one label, because too few devices have failures; "
                "wait for more failures, or lower training.folds"
            )
    return found


def cross_validate(
    candidates: Sequence[Candidate],
    data: TrialData,
    classify: bool,
    progress: Progress = lambda what, done, steps: None,
    of_fold: Sequence[Sequence[Candidate]] = (),
) -> list[Tried]:
    """Train every candidate on every fold and report their errors, in the order of the candidates.

    `of_fold` has the same candidates for each fold, if their settings differ between folds.
    """
    training, validation, folds = data.training, data.validation, data.folds
    settings = [{c.name: c for c in own} for own in of_fold or [candidates] * len(folds)]

    def trial(candidate: Candidate, fold: int) -> Trial:
        started = time.perf_counter()
        fitted, held_out = folds[fold]
        estimator = fit_alone(settings[fold][candidate.name], training.at(fitted), data.seed)
        answers = [
            np.clip(predict(estimator, x), *data.target_range)
            for x in (training.features[held_out], validation.features)
        ]
        return Trial(candidate.name, fold, answers[0], answers[1], time.perf_counter() - started, estimator)

    jobs = [(c, i) for c in reversed(candidates) if c.fit is not None for i in range(len(folds))]
    trials: dict[str, list[Trial]] = {}
    for done, found in enumerate(run_beside_each_other([partial(trial, c, i) for c, i in jobs]), 1):
        trials.setdefault(found.candidate, []).append(found)
        progress(f"{found.candidate}, fold {found.fold + 1}", done, len(jobs))
    return [_report(c, trials, data, classify) for c in candidates]


def _report(candidate: Candidate, trials: Mapping[str, list[Trial]], data: TrialData, classify: bool) -> Tried:
    """Return errors and predictions of one candidate; an ensemble's predictions are the mean of its members'.

    Learned weights for the rows of a fold come from the other folds, so that the error measures unseen devices.
    """
    training, validation, folds = data.training, data.validation, data.folds
    names, of_rows = candidate.members or (candidate.name,), training.sample_weight
    members = [trials[name] for name in names]
    answers = np.empty((len(training), len(members)))
    for i, (_, at) in enumerate(folds):
        answers[at] = np.stack([m[i].held_out for m in members], axis=1)

    def weights(of: Any) -> Any:
        if not candidate.learned_weights:
            return None
        return learned_weights(answers[of], training.targets[of], classify, weights_at(of_rows, of))

    held_out, errors = np.empty(len(training)), []
    for others, at in folds:
        held_out[at] = np.average(answers[at], axis=1, weights=weights(others))
        errors.append(error_of(training.targets[at], held_out[at], classify, weights_at(of_rows, at)))
    learned, shares = weights(slice(None)), [weights(others) for others, _ in folds]
    unseen = [np.average([m[i].validation for m in members], axis=0, weights=share) for i, share in enumerate(shares)]
    seconds = sum(t.seconds for m in members for t in m) if candidate.fit else 0.0
    by_name = {} if learned is None else dict(zip(names, learned.tolist(), strict=True))
    error = _mean_error(validation, unseen, classify)
    report = CandidateReport(candidate.name, errors, error, seconds, by_name)
    fitted = [[m[i].estimator for m in members] for i in range(len(folds))]
    estimators = tuple(
        _ensemble(names, *of) if candidate.members else of[0][0] for of in zip(fitted, shares, strict=True)
    )
    return Tried(report, held_out, one_each(unseen, validation.devices), estimators, np.stack(unseen))


def _mean_error(samples: Samples, answers: Sequence[Float64], classify: bool) -> float:
    """Return the error over all rows and all models with these `answers` (m,): the mean error of one of the models."""
    times, weights = len(answers), samples.sample_weight
    weights = None if weights is None else np.tile(weights, times)
    return error_of(np.tile(samples.targets, times), np.concatenate(answers), classify, weights)


def one_each(answers: Sequence[Float64], devices: npt.NDArray[Any]) -> Float64:
    """Return for each device the `answers` (m,) of one of the models (m,): devices are dealt to the models in turn."""
    _, device = np.unique(devices, return_inverse=True)
    found: Float64 = np.stack(answers)[device % len(answers), np.arange(len(devices))].astype(np.float64)
    return found


def _ensemble(names: Sequence[str], fitted: Sequence[Estimator], weights: Any) -> Estimator:
    """Return the mean of the members, by `weights` unless None; members without weight are left out."""
    if weights is None:
        return mean_of(list(zip(names, fitted, strict=True)))
    kept = [i for i, weight in enumerate(weights) if weight > 0]
    return mean_of([(names[i], fitted[i]) for i in kept], [float(weights[i]) for i in kept])


def fit_chosen(
    candidates: Sequence[Candidate], name: str, samples: Samples, seed: int, weights: Mapping[str, float] | None = None
) -> Estimator:
    """Train the candidate called `name`, or the members of an ensemble in parallel.

    `weights` come from the candidate's report, by member; a member without weight is left out.
    """
    by_name = {c.name: c for c in candidates}
    chosen = by_name[name]
    if chosen.fit is not None:
        return next(iter(run_beside_each_other([partial(fit_alone, chosen, samples, seed)])))
    members = [m for m in chosen.members if not weights or weights[m] > 0]
    fitted = list(run_beside_each_other([partial(fit_alone, by_name[m], samples, seed) for m in members]))
    return _ensemble(members, fitted, [weights[m] for m in members] if weights else None)


def fit_alone(candidate: Candidate, samples: Samples, seed: int) -> Estimator:
    """Train on one thread, because sums over several threads differ in their bits."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    assert candidate.fit is not None  # noqa: S101 - a blend has members to fit instead
    with threadpool_limits(1, user_api="openmp"):  # this thread's own limit
        return candidate.fit(samples, seed)


def run_beside_each_other(jobs: Sequence[Callable[[], Any]]) -> Iterator[Any]:
    """Yield results of the jobs in their order, run on a thread per core, because numpy and scikit-learn release the GIL."""
    from threadpoolctl import threadpool_limits

    cores = len(os.sched_getaffinity(0))
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(cores, "fit") as pool:
        yield from pool.map(lambda job: job(), jobs)
