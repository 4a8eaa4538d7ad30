"""From the topics to a champion where no two processes share a disk but for the lake and the registry's store.

Each machine is a mount namespace of this one: at the path of the home it finds a folder of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from aimaas.kafka import create_topics, delete_topics
from aimaas.registry.versions import list_models
from aimaas.settings import Settings
from aimaas.topics import topic_specs
from aimaas.training.folders import training_folder
from aimaas.training.training_set import newest_training_set, read_training_set
from local.ports import HOST, answers, free_port
from tests.lake_faults.clusters import deploy, submitted
from tests.lake_faults.processes import Running, environment, wait_until, write_fleet
from tests.spark_jobs.conftest import Plant, small_fleet

pytestmark = [pytest.mark.broker, pytest.mark.spark, pytest.mark.airflow, pytest.mark.timeout(1_500)]
HERE, RUN = Path(__file__).parent, "scheduled__2026-11-30"
DEVICES, LIFE = [f"d{i}" for i in range(40)], 15
_IN_ITS_PLACE = 'mount --bind "$0" "$1" && shift && exec "$@"'


@dataclass(frozen=True)
class Site:
    """Machines that have the lake and the registry's store in common, and nothing else."""

    plant: Plant
    folder: Path

    def on(self, machine: str) -> list[str]:
        """The command that runs another one on a machine, where the home is a folder of its own."""
        own = self.folder / "machines" / machine
        for path in (own, self.plant.settings.home):
            path.mkdir(parents=True, exist_ok=True)
        places = [str(own), str(self.plant.settings.home)]
        return ["unshare", "--map-root-user", "--mount", "sh", "-c", _IN_ITS_PLACE, *places]

    def run(self, machine: str, command: list[str]) -> str:
        """Run a command on a machine; what it printed."""
        where = environment(self.plant.settings, AIMAAS_MLFLOW_ARTIFACTS=self.plant.settings.mlflow_artifacts)
        ended = Running([*self.on(machine), *command], where, self.folder / "logs" / machine).ended()
        assert ended.code == 0, ended
        return ended.out

    def task(self, machine: str, name: str) -> Any:
        """Run a Python task of the train DAG; what it returned."""
        program = [sys.executable, str(HERE / "training_task.py"), self.plant.fleet.fleet, RUN, name]
        return json.loads(self.run(machine, program).splitlines()[-1])


@pytest.fixture
def site(settings: Settings, tmp_path: Path) -> Iterator[Site]:
    training = {"candidates": {"ridge": {}}, "folds": 2}
    fleet = small_fleet(training=training, limits={"skew_s": 60, "lateness_s": 1e9})
    shared = tmp_path / "shared"
    settings = replace(
        settings, fleets=tmp_path / "fleets", lake=str(shared / "lake"), mlflow_artifacts=str(shared / "artifacts"),
        mlflow_tracking_uri=f"sqlite:///{shared}/mlflow.db",
    )  # fmt: skip
    write_fleet(settings.fleets, fleet)
    create_topics(settings, topic_specs(fleet))

    def no_session() -> Any:
        raise AssertionError("jobs run on the cluster")

    found = Site(Plant(fleet, settings, no_session), tmp_path)
    mounted = subprocess.run([*found.on("any"), "true"], capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no mount namespaces here: {mounted.stderr.strip()}")
    yield found
    delete_topics(settings, [spec.name for spec in topic_specs(fleet)])


@pytest.fixture
def cluster(site: Site, tmp_path: Path) -> Iterator[str]:
    """URL of a master that has two workers, each on a machine of its own."""
    port, folder = free_port(), tmp_path / "cluster"
    running = [deploy(folder, "master", "master.Master", "--port", str(port), on=site.on("master"))]
    url = f"spark://{HOST}:{port}"
    try:
        wait_until(lambda: answers(HOST, port))
        for name in ("worker-1", "worker-2"):
            work = str(site.plant.settings.home / "spark")
            share = ("--cores", "1", "--memory", "1536m", "--work-dir", work)
            running.append(deploy(folder, name, "worker.Worker", *share, url, on=site.on(name)))
        wait_until(lambda: all("Successfully registered" in process.log.read_text() for process in running[1:]))
        yield url
    finally:
        for process in reversed(running):
            process.kill()


def test_jobs_and_tasks_on_machines_with_homes_of_their_own_come_to_a_champion(site: Site, cluster: str) -> None:
    plant = site.plant
    plant.send(*((d, plant.event(d, seq)) for seq in range(LIFE) for d in DEVICES))
    plant.send(*((d, plant.outcome(d, LIFE - 1)) for d in DEVICES), topic="outcomes")
    folder = f"{training_folder(plant.settings, plant.fleet.fleet, RUN)}/training_set"

    jobs = [*submitted(plant.settings, cluster), str(HERE / "all_jobs.py"), plant.fleet.fleet, folder]
    assert f"2 executors of {cluster}" in site.run("airflow-1", jobs)
    trained = site.task("airflow-2", "train_candidates")
    registered = site.task("airflow-3", "register_and_promote")

    assert (registered["version"], registered["promoted"]) == ("1", True), registered
    assert Path(trained["card"].removeprefix("file://")).is_file()
    assert newest_training_set(plant.settings, plant.fleet.fleet) == folder
    assert len(read_training_set(folder).rows) == LIFE * len(DEVICES)
    (version,) = list_models(plant.settings, plant.fleet)
    assert version.training_set == f"lake:{plant.fleet.fleet}/training/{RUN}/training_set"
    assert list(plant.settings.home.iterdir()) == [], "only this process has the folder itself as its home"
