"""The local stack below one folder: starts it without a supervisor, as the demo does, and stops it.

While the stack runs, `<home>/stack.env` tells all other commands its addresses. `aimaas down` finds its processes by their records
and by their environment, no matter who started them. `aimaas up` is in `up.py`.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from aimaas.errors import StackError
from aimaas.fleet import FleetSpec
from aimaas.kafka import create_topics
from aimaas.settings import STACK_FILE, Settings
from aimaas.topics import topic_specs
from local.airflow.environment import settings_variables
from local.airflow.services import Airflow, find_airflow, start_airflow
from local.broker import Broker, find_broker, kept_port, start_broker
from local.external import external_mlflow
from local.pages import running_pages
from local.ports import HOST, free_port
from local.private_files import kept_secret, write_private
from local.supervision.part_states import STATES_FILE
from local.supervision.processes import ManagedProcess, end_marked, find_processes, start_program
from local.supervision.programs import PLAN_FILE, Program
from local.supervision.supervisor import find_supervisor, folder_of

SCORER = "score-"


@dataclass
class Stack:
    """A running broker and Airflow, and the `settings` with their addresses."""

    settings: Settings
    broker: Broker
    airflow: Airflow

    def stop(self) -> None:
        """Stop scorers and MLflow first, then Airflow, then the broker. Leaves no process and no `stack.env`."""
        stop_stack(self.settings)


def start_stack(settings: Settings, fleets: list[FleetSpec]) -> Stack:
    """Start broker and Airflow in parallel at free ports, create the registry and the fleets' topics. Raises StackError.

    A used folder continues with its data. If a part fails, all parts are stopped. There is no supervisor and no triggerer, so
    outcomes start no DAG.
    """
    if find_broker(settings.home / "kafka", settings.jars) or find_airflow(settings.home / "airflow"):
        raise StackError(f"a stack already runs in {settings.home}: see `aimaas status`, or stop it with `aimaas down`")
    settings.home.mkdir(parents=True, exist_ok=True)
    kafka_port = kept_port(settings.home / "kafka") or free_port()
    bootstrap = f"{HOST}:{kafka_port}"  # known before the broker is up, so that Airflow can start in parallel
    replay_key = settings.replay_key or kept_secret(settings.home / "replay.key")
    reached = replace(settings, kafka={**settings.kafka, "bootstrap.servers": bootstrap}, replay_key=replay_key)
    try:
        with ThreadPoolExecutor(3) as pool:
            broker = pool.submit(start_broker, settings.home / "kafka", settings.jars, kafka_port)
            airflow = pool.submit(start_airflow, reached)
            registry = pool.submit(prepare_own_registry, reached)
            stack = Stack(reached, broker.result(), airflow.result())
            registry.result()
        for fleet in fleets:
            create_topics(reached, topic_specs(fleet))
    except BaseException:
        stop_stack(settings)
        raise
    tell_others(reached)
    return stack


def tell_others(settings: Settings) -> None:
    """Write the addresses of the stack into `stack.env`, for all other commands."""
    told = {
        "AIMAAS_KAFKA_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "AIMAAS_REPLAY_KEY": settings.replay_key or "",
    }
    if external_mlflow(settings):
        told |= {
            "AIMAAS_MLFLOW_TRACKING_URI": settings.mlflow_tracking_uri,
            "AIMAAS_MLFLOW_ARTIFACTS": settings.mlflow_artifacts,
        }
    write_private(settings.home / STACK_FILE, "".join(f"{name}={value}\n" for name, value in told.items()))


def prepare_own_registry(settings: Settings) -> None:
    """Create the database of this stack's registry. Do nothing for a registry that runs elsewhere."""
    if external_mlflow(settings):
        return
    import mlflow  # noqa: F401  # it sets up its own logging when imported

    from aimaas.registry.versions import prepare_registry

    logging.getLogger("mlflow").setLevel(logging.WARNING)  # do not log each new table
    prepare_registry(settings)


def scorer_program(settings: Settings, fleet: str, inherited: Mapping[str, str], instance: str = "0") -> Program:
    """Return the program of a fleet's scorer. `inherited` is the caller's environment.

    A changed fleet file makes it another program: a scorer reads the file once, when it starts.
    """
    command = (sys.executable, "-m", "cli", "score", "--fleet", fleet, "--instance", instance)
    kept = {name: value for name, value in inherited.items() if not name.startswith("AIMAAS_")}
    environ, file = {**kept, **settings_variables(settings)}, settings.fleets / f"{fleet}.yaml"
    read = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""
    return Program(f"{SCORER}{fleet}-{instance}", settings.home / "scorers", command, environ, reads=read)


def start_scorer(settings: Settings, fleet: FleetSpec, instance: str = "0") -> ManagedProcess:
    """Start `aimaas score` for a fleet as a process of the stack, without a supervisor."""
    return start_program(scorer_program(settings, fleet.fleet, os.environ, instance))


def stop_stack(settings: Settings) -> list[str]:
    """Stop every part that runs in `settings.home`, and return their names. Scorers commit and leave their group first.

    The supervisor ends before all others, because it would restart them. No process is left, even after a killed supervisor.
    """
    supervisor = find_supervisor(settings.home)
    if supervisor is not None:
        supervisor.stop()
    scorers = find_processes(settings.home / "scorers")
    stopped = [process.name for process in stop_all([*scorers, *running_pages(settings)])]
    airflow = find_airflow(settings.home / "airflow")
    if airflow:
        airflow.stop()
        stopped.append("airflow")
    broker = find_broker(settings.home / "kafka", settings.jars)
    if broker:
        broker.process.stop()
        stopped.append("kafka")
    end_marked(settings.home)
    for told in (settings.home / STACK_FILE, *(folder_of(settings.home) / name for name in (PLAN_FILE, STATES_FILE))):
        told.unlink(missing_ok=True)
    return stopped


def stop_all(processes: list[ManagedProcess]) -> list[ManagedProcess]:
    """Stop these in parallel: `mlflow server` waits for its connected clients."""
    with ThreadPoolExecutor(len(processes) or 1) as pool:
        list(pool.map(ManagedProcess.stop, processes))
    return processes
