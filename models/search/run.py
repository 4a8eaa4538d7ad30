"""A search of settings: worker processes run trials in parallel, and this process watches the workers.

No worker waits for another: it claims its next trial when the last one has ended. Pruning compares with the trials that have ended.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import optuna
import psutil
from filelock import FileLock, Timeout

from aimaas.errors import NothingFoundError, SearchError
from aimaas.fleet import FleetSpec
from aimaas.settings import Settings
from aimaas.stored_files import Place, at_hand
from aimaas.training.training_set import TrainingSet, read_training_set
from models.families.candidates import candidates_of
from models.search.space import SPACES
from models.search.standing import Standing, standing_of
from models.search.studies import SearchJob, Studies, write_job
from models.selection.refusals import check_training_set

_LOOK_S = 0.5  # seconds between two looks at the standing
_LOG = "workers.log"
_DEATHS = 3  # of workers in a row that had no trial yet


@dataclass(frozen=True)
class Budget:
    """The length of a search: a number of trials, including those of earlier runs, or minutes, whichever is over first.

    `workers` is the number of processes; 0 is one for each core.
    """

    trials: int | None = None
    minutes: float | None = None
    workers: int = 0


def search(
    settings: Settings,
    fleet: FleetSpec,
    training_set: Place,
    budget: Budget,
    families: Sequence[str] = (),
    watch: Callable[[Standing], None] = lambda standing: None,
) -> Standing:
    """Search settings of the fleet's candidates, or of these `families` of them, on the training devices of a frozen training set.

    A search that was killed continues where it stopped. `watch` is called about twice a second. Raises TrainingRefusedError if the
    data or the fleet file do not allow training, SearchError if the search cannot continue, and its subclass NothingFoundError if
    the search found nothing.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    frozen = read_training_set(training_set)
    check_training_set(fleet, frozen)
    deadline = None if budget.minutes is None else time.time() + budget.minutes * 60
    asked, folder = _families(fleet, families), search_folder(settings, fleet, frozen)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / "search.lock", timeout=0), at_hand(training_set) as rows:
            job = SearchJob(
                fleet=fleet, training_set=rows.absolute(), families=asked, trials=budget.trials, deadline=deadline
            )
            return _run(folder, job, budget.workers or len(os.sched_getaffinity(0)), watch)
    except Timeout:
        raise SearchError(
            f"{folder}: another search of {fleet.fleet} is running here; wait for it, or stop it"
        ) from None


def search_folder(settings: Settings, fleet: FleetSpec, frozen: TrainingSet) -> Path:
    """Return the folder of comparable trials, named after their rows, folds and seed."""
    training = fleet.training
    name = f"{frozen.info.digest[:12]}-folds{training.folds}-seed{training.seed}"
    return settings.home / "search" / fleet.fleet / name


def _families(fleet: FleetSpec, asked: Sequence[str]) -> tuple[str, ...]:
    """Return the families to search: the requested ones, or all that have a search space. Raises SearchError."""
    known = [c.name for c in candidates_of(fleet) if c.name in SPACES]
    for name in asked:
        if name not in known:
            raise SearchError(
                f"--candidate {name}: not searched in fleet {fleet.fleet}; allowed: {', '.join(known) or 'none'}"
            )
    if not known:
        raise NothingFoundError(
            f"fleets/{fleet.fleet}.yaml: training.candidates: found {', '.join(fleet.training.candidates)}, "
            f"but a search needs at least one of {', '.join(SPACES)}"
        )
    return tuple(dict.fromkeys(asked)) or tuple(known)


def _run(folder: Path, job: SearchJob, workers: int, watch: Callable[[Standing], None]) -> Standing:
    """Watch the workers until the search ends."""
    studies = Studies(folder, job)
    studies.prepare()
    studies.give_back()  # the lock proves that no other search is running: a killed one left these trials
    write_job(folder, job)
    crew = _Crew(folder, studies)
    try:
        for _ in range(workers):
            crew.hire()
        while crew.at_work:
            crew.look()
            watch(standing_of(studies))
    finally:
        crew.dismiss()
    found = standing_of(studies)
    watch(found)
    if not any(f.complete for f in found.families):
        why = f": {found.refusals[0]}" if found.refusals else "; allow more minutes or trials"
        raise NothingFoundError(f"{folder}: no trial of {job.fleet.fleet} completed all folds{why}")
    return found


class _Crew:
    """The running workers, by name."""

    def __init__(self, folder: Path, studies: Studies) -> None:
        self._folder, self._studies = folder, studies
        self.at_work: dict[str, psutil.Popen] = {}
        self._in_vain = 0

    def hire(self) -> None:
        """Start a worker; its output goes to the common log."""
        name = f"worker-{time.time_ns()}"
        with (self._folder / _LOG).open("ab") as output:
            self.at_work[name] = psutil.Popen(
                [sys.executable, "-m", "models.search.worker", str(self._folder), name],
                stdin=subprocess.PIPE, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip

    def look(self) -> None:
        """Wait a moment for workers to end. A killed worker is replaced, and its trial is tried again."""
        psutil.wait_procs(self.at_work.values(), _LOOK_S)
        for name, process in list(self.at_work.items()):
            if process.is_running():
                continue
            self.at_work.pop(name)
            if process.wait() != 0:
                self._replace()

    def _replace(self) -> None:
        lost = self._studies.give_back(self.at_work)
        self._in_vain = 0 if lost else self._in_vain + 1
        if self._in_vain == _DEATHS:
            raise SearchError(f"workers ended before their first trial; see {self._folder / _LOG}")
        self.hire()

    def dismiss(self) -> None:
        """End the workers that still run."""
        for process in self.at_work.values():
            with suppress(psutil.NoSuchProcess):
                process.kill()
            process.wait()
