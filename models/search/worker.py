"""A worker of a search: a process that claims trials until there are none. `python -m models.search.worker FOLDER NAME`.

It reads only the training devices, and ends with the process that started it: its standard input is a pipe, which then closes.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import TrialState

from aimaas.errors import TrainingRefusedError
from aimaas.fleet import FailureWithin
from aimaas.training.training_set import read_training_set
from models.evaluation.evaluate import error_of
from models.families.candidates import candidates_of, predict, with_candidates
from models.samples import Samples
from models.search.studies import AS_GIVEN, SearchJob, Studies, read_job, settings_tried
from models.selection.select import fit_alone, grouped_folds
from models.task import target_range


def main() -> None:
    """Claim a trial, run it and report it, on one thread."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    folder, name = Path(sys.argv[1]), sys.argv[2]
    threading.Thread(target=_end_with_parent, daemon=True).start()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    job = read_job(folder)
    studies, bench = Studies(folder, job), Bench(job)
    with threadpool_limits(1):
        while claimed := studies.claim(name):
            family, trial = claimed
            state, value = bench.examine(family, trial)
            studies.tell(family, trial, state, value)


def _end_with_parent() -> None:
    os.read(sys.stdin.fileno(), 1)  # unbuffered: a lock held by this thread would block the process's end
    os._exit(1)


def _beaten(trial: optuna.Trial) -> bool:
    """Return whether to prune the trial.

    The fleet file's own settings run to the end, so that the best can be compared with them.
    """
    return AS_GIVEN not in trial.user_attrs and trial.should_prune()


class Bench:
    """The training devices' rows and folds. A trial is evaluated on them as training evaluates its candidates."""

    def __init__(self, job: SearchJob) -> None:
        training = job.fleet.training
        self._job, self._range = job, target_range(job.fleet)
        self._classify = isinstance(job.fleet.task, FailureWithin)
        self._samples = Samples.of(read_training_set(job.training_set).all_rows.of("train"))
        self._folds = grouped_folds(self._samples, training.folds, training.seed, self._classify)

    def examine(self, family: str, trial: optuna.Trial) -> tuple[TrialState, float | None]:
        """Train on fold after fold, until the mean error so far is in the worse half or time is up."""
        errors: list[float] = []
        for fold in range(len(self._folds)):
            try:
                errors.append(self._error(family, settings_tried(self._job, family, trial), fold))
            except TrainingRefusedError as e:
                trial.set_user_attr("refused", str(e))
                return TrialState.FAIL, None
            trial.report(float(np.mean(errors)), fold + 1)
            if fold + 1 < len(self._folds) and (_beaten(trial) or self._job.out_of_time):
                return TrialState.PRUNED, None
        return TrialState.COMPLETE, float(np.mean(errors))

    def _error(self, family: str, settings: dict[str, Any], fold: int) -> float:
        fitted, held_out = self._folds[fold]
        alone = with_candidates(self._job.fleet, {family: settings})
        estimator = fit_alone(candidates_of(alone)[0], self._samples.at(fitted), alone.training.seed)
        answers = np.clip(predict(estimator, self._samples.features[held_out]), *self._range)
        judged = self._samples.at(held_out)
        return error_of(judged.targets, answers, self._classify, judged.sample_weight)


if __name__ == "__main__":
    main()
