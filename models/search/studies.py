"""The studies of a search: one for each family, all in one SQLite file, which processes share and which survives a kill.

A trial has one owner, the worker that claimed it. If a worker dies, its running trial is marked as failed, and Optuna's callback
for stale trials queues the same settings again. The search is the parent of the workers, so it sees a death at once. The heartbeat
of Optuna would see it only after a grace period, and only in `Study.optimize`, which cannot claim one trial among several studies.
"""

from __future__ import annotations

import hashlib
import time
import warnings
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import SuccessiveHalvingPruner
from optuna.samplers import TPESampler
from optuna.storages import RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState
from pydantic import BaseModel

from aimaas.fleet import FleetSpec
from models.families.candidates import settings_of
from models.search.space import SPACES, options_of, params_of

AS_GIVEN = "as_given"  # marks the trial of the fleet file's own settings
warnings.filterwarnings("ignore", category=ExperimentalWarning)  # of the callback, which Optuna has had since 2.8
_TRY_AGAIN = RetryHeartbeatStaleTrialCallback(max_retry=2)  # settings that kill every worker are given up
_WORKER = "worker"
_RUNNING = (TrialState.RUNNING,)
_JOB = "job.json"


class SearchJob(BaseModel, frozen=True):
    """The job of the workers. `trials` and `deadline` (seconds since 1970) bound the search; None is no bound."""

    fleet: FleetSpec
    training_set: Path
    families: tuple[str, ...]
    trials: int | None
    deadline: float | None

    @property
    def out_of_time(self) -> bool:
        """Whether the deadline has passed."""
        return self.deadline is not None and time.time() >= self.deadline


def write_job(folder: Path, job: SearchJob) -> None:
    """Leave the job for the workers."""
    (folder / _JOB).write_text(job.model_dump_json(), encoding="utf-8")


def read_job(folder: Path) -> SearchJob:
    """Read the job back."""
    return SearchJob.model_validate_json((folder / _JOB).read_text(encoding="utf-8"))


class Studies:
    """The studies below a folder."""

    def __init__(self, folder: Path, job: SearchJob) -> None:
        self.job = job
        self._lock = FileLock(folder / "claim.lock")  # a lock of the operating system: it ends with its holder
        with self._lock:  # several processes would create the tables at once
            self._storage = optuna.storages.RDBStorage(
                f"sqlite:///{folder / 'studies.db'}", engine_kwargs={"connect_args": {"timeout": 60}}
            )

    def prepare(self) -> None:
        """Create the missing studies; the first trial of each has the fleet file's own settings."""
        for family in self.job.families:
            study = optuna.create_study(
                storage=self._storage, study_name=_name(self.job.fleet, family), load_if_exists=True
            )
            given = self.job.fleet.training.candidates[family]
            own = [t for t in study.get_trials(deepcopy=False) if t.user_attrs.get(AS_GIVEN) == given]
            if all(t.state == TrialState.PRUNED for t in own):  # because an earlier search ran out of time
                study.enqueue_trial(params_of(self.job.fleet, family), {AS_GIVEN: given})

    def trials(self, family: str) -> list[FrozenTrial]:
        """Return all trials of a family, without those that were given back and tried again."""
        found = self._study(family).get_trials(deepcopy=False)
        retried = {number for t in found for number in _TRY_AGAIN.retry_history(t)}
        return [t for t in found if t.number not in retried]

    def claim(self, worker: str) -> tuple[str, optuna.Trial] | None:
        """Return the next trial, of the family with the fewest; None at the end of the search."""
        with self._lock:
            if self.job.out_of_time:
                return None
            trials = {family: self.trials(family) for family in self.job.families}
            waiting = [f for f, of in trials.items() if any(t.state == TrialState.WAITING for t in of)]
            taken = sum(map(len, trials.values()))
            if not waiting and self.job.trials is not None and taken >= self.job.trials:
                return None
            family = min(waiting or trials, key=lambda f: len(trials[f]))
            study = self._study(family, number=len(trials[family]))
            trial = study.ask(SPACES[family])
            trial.set_user_attr(_WORKER, worker)
            return family, trial

    def tell(self, family: str, trial: optuna.Trial, state: TrialState, value: float | None = None) -> None:
        """End a trial."""
        self._study(family).tell(trial, value, state)

    def give_back(self, at_work: Collection[str] = ()) -> int:
        """Try again the running trials that belong to no worker at work; returns their number."""
        with self._lock:
            running = [(s, t) for s in map(self._study, self.job.families) for t in s.get_trials(states=_RUNNING)]
            lost = [(study, trial) for study, trial in running if trial.user_attrs.get(_WORKER) not in at_work]
            for study, trial in lost:
                study.tell(trial.number, state=TrialState.FAIL)
                _TRY_AGAIN(study, trial)
            return len(lost)

    def _study(self, family: str, number: int = 0) -> optuna.Study:
        """Return the study with the sampler of its next trial: the seed of a trial follows from its number."""
        seed = zlib.crc32(f"{self.job.fleet.training.seed} {family} {number}".encode())
        return optuna.load_study(
            study_name=_name(self.job.fleet, family),
            storage=self._storage,
            sampler=TPESampler(seed=seed),
            pruner=SuccessiveHalvingPruner(min_resource=1, reduction_factor=2),
        )


def settings_tried(job: SearchJob, family: str, trial: optuna.Trial | FrozenTrial) -> dict[str, Any]:
    """Return all options of a trial for its family: the fleet file's options, replaced by the searched ones."""
    if AS_GIVEN in trial.user_attrs:
        return dict(trial.user_attrs[AS_GIVEN])
    return {**job.fleet.training.candidates[family], **options_of(trial.params)}


def _name(fleet: FleetSpec, family: str) -> str:
    """Return a study's name: trials are compared only with trials that have the same settings outside the search space."""
    fixed = sorted((k, v) for k, v in settings_of(fleet, family).items() if k not in SPACES[family])
    return f"{family}-{hashlib.sha256(repr(fixed).encode()).hexdigest()[:12]}"
