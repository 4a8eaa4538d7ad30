"""The search with its real worker processes, on a small fleet."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import yaml
from optuna.trial import TrialState
from structlog.testing import capture_logs
from typer.testing import CliRunner

from aimaas.errors import SearchError, TrainingRefusedError
from aimaas.fleet import FleetSpec, load_fleet
from aimaas.settings import Settings
from aimaas.training.training_set import read_training_set
from cli.app import app
from models.search import run
from models.search.before_training import searched
from models.search.run import Budget, search, search_folder
from models.search.space import SPACES
from models.search.standing import Standing, standing_of
from models.search.studies import SearchJob, Studies, read_job
from models.training.train import train
from tests.models.conftest import pump_fleet
from tests.models.training.test_train import rewrite

MakeSet = Callable[..., Path]
FEW = {"ridge": {}, "boosting": {"trees": 30}}
SLOW = {"mlp": {"networks": 8, "hidden": [256, 256], "epochs": 300, "early_stopping": False}}
ROOT = Path(__file__).resolve().parents[3]


def studies_of(settings: Settings, fleet: FleetSpec, training_set: Path) -> Studies:
    folder = search_folder(settings, fleet, read_training_set(training_set))
    return Studies(folder, read_job(folder))


def test_trials_of_all_candidates_are_counted_seen_and_never_worse_than_what_the_fleet_file_says(
    offline_settings: Settings, training_set: MakeSet
) -> None:
    fleet, seen = pump_fleet(FEW), list[Standing]()
    folder = training_set(fleet)
    found = search(offline_settings, fleet, folder, Budget(trials=6, workers=2), watch=seen.append)
    assert found.ended == 6 and seen[-1] == found
    assert [f.name for f in found.families] == list(FEW)
    assert all(f.ended == 3 and f.failed == 0 for f in found.families)
    for f in found.families:
        assert f.error is not None and f.as_given is not None and f.error <= f.as_given
    report = train(offline_settings, fleet, folder, offline_settings.home / "trained")
    cross_validated = {c.name: c.cross_validated for c in report.candidates}
    assert {f.name: f.as_given for f in found.families} == cross_validated  # to the bit: the same folds, seed and code


@pytest.mark.long
def test_a_search_goes_on_where_the_last_one_stopped_finds_the_same_and_sees_training_devices_only(
    offline_settings: Settings, training_set: MakeSet, tmp_path: Path
) -> None:
    fleet = pump_fleet({"ridge": {}})
    folder, other = training_set(fleet), training_set(fleet)
    search(offline_settings, fleet, folder, Budget(trials=2, workers=1))
    parts = search(offline_settings, fleet, folder, Budget(trials=5, workers=1))
    for split in ("validation", "test"):
        rewrite(other, label=np.float32(3), split=split)
    whole = search(offline_settings, fleet, other, Budget(trials=5, workers=1))
    assert parts.ended == 5
    assert parts == whole


@pytest.mark.long
def test_a_killed_worker_loses_its_running_trial_only_and_that_is_tried_anew(
    offline_settings: Settings, training_set: MakeSet
) -> None:
    fleet = pump_fleet({"boosting": {"trees": 100}})
    folder, killed = training_set(fleet), list[int]()

    def kill_one(standing: Standing) -> None:
        if not killed and standing.ended >= 2 and (at_work := workers()):
            killed.append(at_work[0].pid)
            at_work[0].kill()

    found = search(offline_settings, fleet, folder, Budget(trials=8, workers=2), watch=kill_one)
    assert killed
    assert found.ended == 8 and found.families[0].failed == 0
    tried = studies_of(offline_settings, fleet, folder).trials("boosting")
    retries = [t for t in tried if "retry_history" in t.system_attrs]
    assert len(retries) <= 1


def workers() -> list[psutil.Process]:
    return [p for p in psutil.Process().children() if "models.search.worker" in p.cmdline()]


@pytest.mark.long
def test_a_killed_search_leaves_no_worker_behind_and_its_trial_waits_for_the_next(
    offline_settings: Settings, training_set: MakeSet, tmp_path: Path
) -> None:
    fleet = pump_fleet(SLOW)
    folder = training_set(fleet)
    command = start(offline_settings, fleet, folder, tmp_path, "--trials", "2", "--workers", "1")
    limit, children = time.monotonic() + 60, list[psutil.Process]()
    while not children or not running(offline_settings, fleet, folder):
        assert command.poll() is None and time.monotonic() < limit
        children = psutil.Process(command.pid).children()
        psutil.wait_procs(children, 0.2)
    command.send_signal(signal.SIGKILL)
    command.wait()
    assert not psutil.wait_procs(children, 20)[1]
    studies = studies_of(offline_settings, fleet, folder)
    assert studies.give_back() == 1
    assert [t.state for t in studies.trials("mlp")] == [TrialState.WAITING]


def start(
    settings: Settings, fleet: FleetSpec, training_set: Path, fleets: Path, *options: str
) -> subprocess.Popen[bytes]:
    """`aimaas search` as a process of its own."""
    dumped: dict[str, Any] = fleet.model_dump(mode="json", exclude_unset=True)
    (fleets / "pump.yaml").write_text(yaml.safe_dump(dumped))
    environ = {**os.environ, "AIMAAS_HOME": str(settings.home), "AIMAAS_FLEETS": str(fleets)}
    command = [sys.executable, "-m", "cli", "search", "--fleet", "pump", "--training-set", str(training_set)]
    return subprocess.Popen([*command, *options], cwd=ROOT, env=environ)


def running(settings: Settings, fleet: FleetSpec, training_set: Path) -> bool:
    folder = search_folder(settings, fleet, read_training_set(training_set))
    if not (folder / "workers.log").is_file():
        return False
    return any(t.state == TrialState.RUNNING for t in Studies(folder, read_job(folder)).trials("mlp"))


def test_time_out_ends_the_search_and_keeps_what_was_found(offline_settings: Settings, training_set: MakeSet) -> None:
    fleet = pump_fleet({"ridge": {}})
    folder = training_set(fleet)
    before = search(offline_settings, fleet, folder, Budget(trials=1, workers=1))
    began = time.monotonic()
    after = search(offline_settings, fleet, folder, Budget(trials=1_000_000, minutes=0.001, workers=1))
    assert time.monotonic() - began < 60
    assert after.families[0].as_given == before.families[0].error


def asking(fleet: FleetSpec, **search: float) -> FleetSpec:
    asked = fleet.training.search.model_copy(update=search)
    return fleet.model_copy(update={"training": fleet.training.model_copy(update={"search": asked})})


@pytest.mark.parametrize(
    ("spaces", "why"),
    [
        (SPACES, "no trial of pump completed all folds; allow more minutes or trials"),
        ({"mlp": SPACES["mlp"]}, "a search needs at least one of mlp"),
    ],
)
def test_a_search_before_training_that_finds_nothing_keeps_the_fleet_files_settings_and_says_so(
    offline_settings: Settings, training_set: MakeSet, spaces: Any, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "SPACES", spaces)
    fleet = asking(pump_fleet(FEW), minutes=1e-6, workers=1)
    with capture_logs() as said:
        assert searched(offline_settings, fleet, training_set(fleet)) == (fleet, [])
    assert [why in line["why"] for line in said] == [True]


def test_nothing_is_better_than_settings_of_the_fleet_file_that_were_not_tried_to_the_end(tmp_path: Path) -> None:
    job = SearchJob(
        fleet=pump_fleet({"ridge": {}}), training_set=tmp_path, families=("ridge",), trials=9, deadline=None
    )
    studies = Studies(tmp_path, job)
    studies.prepare()
    for state, error in ((TrialState.PRUNED, None), (TrialState.COMPLETE, 3.0)):
        claimed = studies.claim("w")
        assert claimed is not None
        studies.tell(*claimed, state, error)
    found = standing_of(studies)
    assert found.families[0].error == 3.0 and found.families[0].as_given is None
    assert found.better() == {}


def test_for_each_fold_the_settings_are_known_that_did_best_in_the_others(tmp_path: Path) -> None:
    job = SearchJob(
        fleet=pump_fleet({"ridge": {}}), training_set=tmp_path, families=("ridge",), trials=2, deadline=None
    )
    studies = Studies(tmp_path, job)
    studies.prepare()
    for errors in ((5.0, 5.5), (1.0, 9.0)):
        claimed = studies.claim("w")
        assert claimed is not None
        for fold in (1, 2):
            claimed[1].report(float(np.mean(errors[:fold])), fold)
        studies.tell(*claimed, TrialState.COMPLETE, float(np.mean(errors)))
    found = standing_of(studies)
    best = found.better()
    assert best["ridge"], "the second trial is the better one in the mean"
    assert found.better_without(0) == {"ridge": {}}, "in the second fold the fleet file's own settings are better"
    assert found.better_without(1) == best


def test_settings_that_cannot_be_trained_with_fail_alone_and_a_search_of_nothing_else_says_why(
    offline_settings: Settings, training_set: MakeSet
) -> None:
    fleet = pump_fleet({"mlp": {"networks": 1, "solver": "sgd", "rate": 1e18, "epochs": 2}})
    with pytest.raises(SearchError, match="no trial of pump completed all folds: the network's training diverged"):
        search(offline_settings, fleet, training_set(fleet), Budget(trials=1, workers=1))


def test_what_cannot_be_searched_is_one_clear_line(offline_settings: Settings, training_set: MakeSet) -> None:
    fleet = pump_fleet(FEW)
    with pytest.raises(SearchError, match="--candidate oak: not searched in fleet pump; allowed: ridge, boosting"):
        search(offline_settings, fleet, training_set(fleet), Budget(trials=1), ["oak"])
    with pytest.raises(TrainingRefusedError, match="8 labelled devices, at least 10 needed"):
        search(offline_settings, fleet, training_set(fleet, devices=8), Budget(trials=1))


@pytest.mark.long
def test_a_fleet_file_that_asks_for_a_search_trains_with_what_it_found(
    offline_settings: Settings, training_set: MakeSet, tmp_path: Path
) -> None:
    fleet = asking(pump_fleet({"boosting": {"trees": 5}}), trials=6)
    folder = training_set(fleet)
    report = train(offline_settings, fleet, folder, tmp_path / "trained")
    found = search(offline_settings, fleet, folder, Budget(trials=6))
    assert report.settings["candidates"] == found.better()
    assert report.candidates[0].cross_validated == found.families[0].error
    given = found.families[0].as_given
    assert given is not None and report.candidates[0].cross_validated < given


@pytest.mark.long
def test_the_command_writes_the_best_into_the_fleet_file_and_training_uses_it(
    offline_settings: Settings, training_set: MakeSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = pump_fleet({"boosting": {"trees": 5}})
    path = tmp_path / "fleets" / "pump.yaml"
    path.parent.mkdir()
    told = yaml.safe_dump(fleet.model_dump(mode="json", exclude_unset=True), sort_keys=False)
    path.write_text(f"# our pumps\n{told}")
    folder = training_set(fleet)
    monkeypatch.setenv("AIMAAS_HOME", str(offline_settings.home))
    monkeypatch.setenv("AIMAAS_FLEETS", str(path.parent))
    asked = ["search", "--fleet", "pump", "--training-set", str(folder), "--trials", "6", "--workers", "2"]

    looked = CliRunner().invoke(app, asked)
    assert looked.exit_code == 0, looked.output
    assert "pass --write" in looked.output and load_fleet(path) == fleet
    written = CliRunner().invoke(app, [*asked, "--write"])

    assert written.exit_code == 0, written.output
    found = search(offline_settings, fleet, folder, Budget(trials=6))
    assert found.better() and load_fleet(path).training.candidates == found.better()
    assert path.read_text().startswith("# our pumps\n")
    report = train(offline_settings, load_fleet(path), folder, tmp_path / "trained")
    assert report.candidates[0].cross_validated == found.families[0].error


def test_settings_have_a_seed_of_their_own(tmp_path: Path) -> None:
    job = SearchJob(
        fleet=pump_fleet({"ridge": {}}), training_set=tmp_path, families=("ridge",), trials=9, deadline=None
    )
    drawn = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        studies = Studies(tmp_path / name, job)
        studies.prepare()
        claims = [studies.claim("w") for _ in range(4)]
        drawn.append([trial.params["l2"] for _, trial in filter(None, claims)])
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) == 4 and drawn[0][0] == 10.0
