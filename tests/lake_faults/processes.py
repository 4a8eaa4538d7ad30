"""The lake's jobs as processes of their own, which may be killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import yaml

from aimaas.fleet import FleetSpec
from aimaas.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 600


@dataclass(frozen=True)
class Ended:
    """How a process ended, and what a user saw of it."""

    code: int
    out: str
    told: str

    @property
    def is_clear(self) -> bool:
        """A job's own line comes last, and there is no stack trace of Python or Java."""
        last = (self.told.splitlines() or [""])[-1]
        is_own = last.startswith(("land: ", "admit: ", "gold: ", "features: ", "rebuild: ", "rescore: "))
        return is_own and not any(sign in self.told for sign in ("Traceback", "\tat ", "Exception"))


class Running:
    """A job under way; `folder` takes its output."""

    def __init__(self, command: list[str], environ: Mapping[str, str], folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._out, self._told = folder / "out", folder / "told"
        with self._out.open("wb") as out, self._told.open("wb") as told:
            self._process = subprocess.Popen(
                command, env=dict(environ), stdout=out, stderr=told, start_new_session=True, cwd=ROOT
            )

    def wait_until(self, happened: Callable[[], bool]) -> None:
        """Wait for the moment. Raises AssertionError where the job ends before it comes."""

        def come() -> bool:
            assert self._process.poll() is None, f"ended before the moment came: {self._ended()}"
            return happened()

        wait_until(come)

    def kill_driver(self) -> Ended:
        """SIGKILL the JVM, which is Spark's driver, and wait until the Python beside it has ended by itself."""
        for child in psutil.Process(self._process.pid).children(recursive=True):
            if child.name() == "java":
                child.kill()
        return self.ended()

    def kill(self) -> Ended:
        """SIGKILL Python and JVM at once."""
        python = psutil.Process(self._process.pid)
        for one in [*python.children(recursive=True), python]:
            with suppress(psutil.NoSuchProcess):  # a worker whose parent was killed may be gone by itself
                one.kill()
        return self.ended()

    def ended(self) -> Ended:
        """Wait for the end."""
        try:
            self._process.wait(LIMIT_S)
        finally:
            self._process.kill()
        return self._ended()

    def _ended(self) -> Ended:
        return Ended(self._process.returncode, self._out.read_text(), self._told.read_text(errors="replace"))


def wait_until(happened: Callable[[], bool]) -> None:
    """Look often until it has happened."""
    limit = time.monotonic() + LIMIT_S
    while not happened():
        assert time.monotonic() < limit, "it did not happen in time"
        time.sleep(0.002)


def environment(settings: Settings, **more: str) -> dict[str, str]:
    """What a job finds the broker, the lake and the code by."""
    given = {
        "AIMAAS_HOME": str(settings.home),
        "AIMAAS_FLEETS": str(settings.fleets),
        "AIMAAS_JARS": str(settings.jars),
        "AIMAAS_LAKE": settings.lake,
        "AIMAAS_MLFLOW_TRACKING_URI": settings.mlflow_tracking_uri,
        "AIMAAS_KAFKA_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "PYTHONPATH": str(ROOT),
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": "127.0.0.1",
    }
    return os.environ | given | more


def start_job(settings: Settings, fleet: FleetSpec, job: str, *arguments: str, **environ: str) -> Running:
    """Start `spark_jobs.<job>` as a user would."""
    command = [sys.executable, "-m", f"spark_jobs.{job}", "--fleet", fleet.fleet, *arguments]
    return Running(command, environment(settings, **environ), settings.home / "jobs" / str(time.monotonic_ns()))


def run_job(settings: Settings, fleet: FleetSpec, job: str, *arguments: str, **environ: str) -> Ended:
    """Run the job to its end."""
    return start_job(settings, fleet, job, *arguments, **environ).ended()


def write_fleet(folder: Path, fleet: FleetSpec) -> None:
    """Write the fleet file that the jobs read."""
    folder.mkdir(parents=True, exist_ok=True)
    content = fleet.model_dump(mode="json", exclude_unset=True)
    (folder / f"{fleet.fleet}.yaml").write_text(yaml.safe_dump(content))
