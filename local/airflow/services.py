"""Airflow's real scheduler, API server, DAG processor and triggerer on one machine, without containers.

Each is Airflow's own program in its own session, as in a deployment. `airflow standalone` starts them too, but then nothing ends
the processes that a kill leaves behind. One folder holds the SQLite database, `passwords.json`, task logs below `logs/`, and one
log for each program. A restart on this folder continues with the same runs, login and port.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from aimaas.errors import StackError
from aimaas.settings import Settings
from local.airflow.client import AirflowClient
from local.airflow.environment import (
    ADMIN,
    PASSWORDS_FILE,
    SPARK_FOLDER,
    SPARK_POOL,
    SPARK_SLOTS,
    process_environment,
)
from local.airflow.spark_settings import write_spark_submit
from local.ports import HOST, free_port, is_free
from local.supervision.processes import ManagedProcess, end_marked, find_process, start_program
from local.supervision.programs import Program

READY_LIMIT_S = 180.0
PROJECT_DAGS = Path(__file__).resolve().parents[2] / "dags"
_PORT_FILE = "port"
_PROGRAMS = {
    "api-server": ("api-server",),
    # the API server reads task logs from the same disk: no log server is needed
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
}
_TRIGGERER = {"triggerer": ("triggerer", "--skip-serve-logs")}


@dataclass
class Airflow:
    """A running Airflow. `client` talks to it, and knows the login; `url` opens its pages in a browser."""

    folder: Path
    port: int
    client: AirflowClient
    processes: tuple[ManagedProcess, ...]

    @property
    def url(self) -> str:
        """Address of the user interface."""
        return f"http://localhost:{self.port}"

    def is_healthy(self) -> bool:
        """Return whether all programs run and report healthy."""
        if not all(p.is_alive() for p in self.processes):
            return False
        try:
            found = self.client.health()
        except StackError:
            return False
        return all(found.get(part) == "healthy" for part in ("metadatabase", "scheduler", "dag_processor"))

    def has_read_dags(self) -> bool:
        """Return whether the DAG processor has read a DAG, or has found one that it cannot read."""
        try:
            return bool(self.client.dag_ids() or self.client.import_errors())
        except StackError:
            return False

    def make_pool(self) -> None:
        """Create the pool of Spark tasks unless it exists."""
        self.client.ensure_pool(SPARK_POOL, SPARK_SLOTS, "Number of Spark jobs at once. One job fills this machine.")

    def stop(self, timeout_s: float = 15.0) -> None:
        """End all programs and their tasks: with SIGTERM, after `timeout_s` with SIGKILL. Airflow retries running tasks later."""
        with ThreadPoolExecutor(len(self.processes) or 1) as pool:
            list(pool.map(lambda p: p.stop(timeout_s), self.processes))
        end_marked(self.folder)

    def kill(self) -> None:
        """End all with SIGKILL, as a crash would."""
        for process in self.processes:
            process.kill()
        end_marked(self.folder)


def start_airflow(  # what differs between a stack, a test and a demo
    settings: Settings,
    folder: Path | None = None,
    port: int | None = None,
    *,
    dags: Path = PROJECT_DAGS,
    environ: Mapping[str, str] | None = None,
    triggerer: bool = False,
) -> Airflow:
    """Start Airflow on `folder` (default `<home>/airflow`), and wait up to 180 s until it is healthy and has read the DAGs.

    A used folder keeps its port unless `port` is given; a new folder gets any free port. Processes of an earlier start are ended
    first. `environ` is added to the environment of tasks. Raises StackError with the log to read.
    """
    folder = (folder or settings.home / "airflow").absolute()
    end_marked(folder)
    port = port or kept_port(folder) or free_port()
    if not is_free(port):
        raise StackError(f"port {port} is taken: end the process that listens there, or give Airflow another port")
    inherited = {**os.environ, **(environ or {})}
    programs = airflow_programs(settings, folder, port, inherited, dags=dags, triggerer=triggerer)
    processes = tuple(start_program(program) for program in programs)
    airflow = Airflow(folder, port, _client(folder, port, _ensure_password(folder)), processes)
    _wait_until_ready(airflow, has_dags=any(dags.glob("*.py")))
    airflow.make_pool()
    return airflow


def airflow_programs(
    settings: Settings,
    folder: Path,
    port: int,
    inherited: Mapping[str, str],
    *,
    dags: Path = PROJECT_DAGS,
    triggerer: bool = False,
) -> list[Program]:
    """Prepare `folder` (login, `spark-submit`, database) and return the programs of Airflow. Raises StackError.

    `inherited` is the caller's environment.
    """
    if not dags.is_dir():
        raise StackError(
            f"{dags}: no such DAG folder; the local stack runs in a clone of the repository, not from an installed wheel"
        )
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _PORT_FILE).write_text(str(port))
    _ensure_password(folder)
    environment = process_environment(settings, folder, dags, port, inherited)
    write_spark_submit(folder / SPARK_FOLDER, settings)
    _migrate(folder, environment)
    return [
        Program(name, folder, tuple(_command(*arguments)), environment, folder, port if name == "api-server" else None)
        for name, arguments in {**_PROGRAMS, **(_TRIGGERER if triggerer else {})}.items()
    ]


def find_airflow(folder: Path) -> Airflow | None:
    """Find the Airflow that runs on `folder`, no matter who started it; None if none of its programs runs."""
    folder = folder.absolute()
    processes, port = _running(folder), kept_port(folder)
    if not processes or port is None:
        return None
    return Airflow(folder, port, _client(folder, port, _ensure_password(folder)), processes)


def _running(folder: Path) -> tuple[ManagedProcess, ...]:
    found = (find_process(name, folder) for name in (*_PROGRAMS, *_TRIGGERER))
    return tuple(p for p in found if p is not None)


def _client(folder: Path, port: int, password: str) -> AirflowClient:
    return AirflowClient(f"http://{HOST}:{port}", ADMIN, password, folder / "logs")


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "airflow", *arguments]


def kept_port(folder: Path) -> int | None:
    """Return the port of a used folder; None for a new one."""
    path = folder / _PORT_FILE
    return int(path.read_text()) if path.is_file() else None


def _ensure_password(folder: Path) -> str:
    """Return the admin's password. It is generated here, so that Airflow does not print one into a log."""
    path = folder / PASSWORDS_FILE
    if not path.is_file():
        path.touch(mode=0o600)
        path.write_text(json.dumps({ADMIN: secrets.token_urlsafe(12)}))
    return str(json.loads(path.read_text())[ADMIN])


def _migrate(folder: Path, environment: Mapping[str, str]) -> None:
    """Create or migrate the database, once for each version of Airflow."""
    from importlib.metadata import version

    done = folder / "migrated"
    if done.is_file() and done.read_text() == version("apache-airflow"):
        return
    log = folder / "migrate.log"
    with log.open("wb") as output:
        code = subprocess.run(
            _command("db", "migrate"),
            env=dict(environment),
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            check=False,
        ).returncode
    if code != 0:
        raise StackError(f"the database of Airflow could not be created (exit code {code}): see {log}")
    done.write_text(version("apache-airflow"))


def _wait_until_ready(airflow: Airflow, has_dags: bool) -> None:
    deadline = time.monotonic() + READY_LIMIT_S
    warm = False
    while not (warm and airflow.is_healthy() and (not has_dags or airflow.has_read_dags())):
        for process in airflow.processes:
            if not process.is_alive():
                airflow.kill()
                raise StackError(f"Airflow's {process.name} ended while starting: see {process.log}\n{process.tail()}")
        if time.monotonic() > deadline:
            airflow.kill()
            raise StackError(f"Airflow was not ready after {READY_LIMIT_S:.0f} s: see the logs in {airflow.folder}")
        warm = warm or _warm_up(airflow)
        time.sleep(0.2)


def _warm_up(airflow: Airflow) -> bool:
    """Ask the API of running tasks for its health. Its first answer takes 6 s, and otherwise the first task would wait."""
    try:
        airflow.client.execution_health()
    except StackError:
        return False
    return True
