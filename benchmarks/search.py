"""The search of settings: two workers against one, and a worker killed in the middle of a trial; the last line is JSON.

`two_over_one` is the wall time of one worker over the wall time of two for the same number of trials, with the start of the
workers (the median of the rounds; the two take turns). `trials_lost` counts trials that the SIGKILL cut short. Each of them is
tried again, so `trials_ended` is the requested number.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import psutil
from optuna.trial import TrialState

from aimaas.fleet import FleetSpec, load_fleet
from aimaas.settings import Settings, read_settings
from aimaas.training.training_set import read_training_set
from model_bench.cmapss_data import freeze
from models.families.candidates import with_candidates
from models.search.run import Budget, search, search_folder
from models.search.standing import Standing
from models.search.studies import Studies, read_job
from stream.devices.simulator import simulate
from stream_bench.figures import json_line, say

_FLEET = Path(__file__).resolve().parents[1] / "fleets" / "turbofan.yaml"


@dataclass(frozen=True)
class Bench:
    """A fleet with one candidate, and its training set."""

    fleet: FleetSpec
    training_set: Path

    def searched(
        self, home: Path, trials: int, workers: int, watch: Callable[[Standing], None] = lambda standing: None
    ) -> tuple[Standing, float]:
        """Return the result of a new search, and its seconds."""
        began = time.monotonic()
        found = search(_settings(home), self.fleet, self.training_set, Budget(trials, None, workers), watch=watch)
        return found, time.monotonic() - began

    def studies(self, home: Path) -> Studies:
        """Return the studies of a search."""
        folder = search_folder(_settings(home), self.fleet, read_training_set(self.training_set))
        return Studies(folder, read_job(folder))


def main() -> None:
    """Run the rounds and the killing, print the figures."""
    given = _arguments()
    seconds: dict[int, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bench = _bench(folder / "training_set", given.devices)
        for r in range(given.rounds):
            for workers in (1, 2) if r % 2 == 0 else (2, 1):
                found, took = bench.searched(folder / f"{r}-{workers}", given.trials, workers)
                seconds[workers].append(took)
                say(f"round {r}, {workers} workers: {took:.1f} s, {found.families[0]}")
        ended, lost = _killed(bench, folder / "killed", given.trials)
    ratio = median(one / two for one, two in zip(seconds[1], seconds[2], strict=True))
    figures = {"two_over_one": round(ratio, 2), "trials_lost": lost, "trials_ended": ended}
    times = {f"seconds_{workers}": [round(s, 1) for s in all_] for workers, all_ in seconds.items()}
    json_line("search", {**figures, **times, "trials": given.trials, "devices": given.devices})


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument(
        "--devices", type=int, default=60, help="simulated engines, of which the training devices are used"
    )
    return parser.parse_args()


def _settings(home: Path) -> Settings:
    return replace(read_settings(), home=home)


def _bench(folder: Path, devices: int) -> Bench:
    fleet = load_fleet(_FLEET)
    fleet = with_candidates(fleet, {"boosting": fleet.training.candidates["boosting"]})
    return Bench(fleet, freeze(fleet, simulate(fleet, devices, 7), folder))


def _killed(bench: Bench, home: Path, trials: int) -> tuple[int, int]:
    """Count ended trials and trials cut short, when one of two workers is killed in the middle of a trial."""
    killed: list[int] = []

    def kill(standing: Standing) -> None:
        if killed or standing.ended < trials // 4:
            return
        at_work = [t for t in bench.studies(home).trials("boosting") if t.state == TrialState.RUNNING]
        names = {t.user_attrs.get("worker") for t in at_work}
        for process in psutil.Process().children():
            if not killed and names.intersection(process.cmdline()):
                process.kill()
                killed.append(process.pid)

    found, took = bench.searched(home, trials, 2, kill)
    assert killed, "no worker was at work: ask for more trials"
    lost = sum("retry_history" in t.system_attrs for t in bench.studies(home).trials("boosting"))
    say(f"one of two workers killed: {took:.1f} s, {found.families[0]}")
    return found.ended, lost


if __name__ == "__main__":
    main()
