"""The embedded stack: broker, Airflow, MLflow's pages and scorers on one machine, under one folder.

While it runs, `<home>/stack.env` tells every other command where it is; `aimaas status` and `aimaas down` find its processes by
their records, whoever started them.
"""

from __future__ import annotations

import logging
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from aimaas.errors import StackError
from aimaas.fleet import FleetSpec
from aimaas.kafka import create_topics
from aimaas.settings import STACK_FILE, Settings
from aimaas.topics import topic_specs
from local.airflow import Airflow, end_leftovers, find_airflow, start_airflow
from local.airflow_environment import settings_variables
from local.broker import Broker, find_broker, start_broker
from local.pages import running_pages, start_data_docs, start_mlflow
from local.ports import HOST, free_port
from local.private_files import kept_secret, write_private
from local.processes import ManagedProcess, find_process, start_process


@dataclass(frozen=True)
class Ports:
    """Ports that a person asked for; None takes any free one, or the one the folder had before."""

    kafka: int | None = None
    airflow: int | None = None
    mlflow: int | None = None
    data_docs: int | None = None


@dataclass(frozen=True)
class Part:
    """One running part of the stack, as `aimaas status` shows it."""

    name: str
    where: str
    alive: bool
    log: Path


@dataclass
class Stack:
    """A running broker and Airflow; `settings` are those under which everything finds them."""

    settings: Settings
    broker: Broker
    airflow: Airflow

    def stop(self) -> None:
        """Stop scorers and MLflow first, then Airflow, the broker last; leaves no process and no `stack.env`."""
        stop_stack(self.settings)


def start_stack(
    settings: Settings, fleets: list[FleetSpec], ports: Ports = Ports(), *, triggerer: bool = False
) -> Stack:  # frozen
    """Start broker and Airflow side by side, make the registry and the fleets' topics. Raises StackError.

    Starting on a folder used before goes on with what it holds. Where a part fails, all that was started is stopped. Without a
    `triggerer` nothing waits in the background: outcomes wake no DAG up.
    """
    if find_broker(settings.home / "kafka", settings.jars) or find_airflow(settings.home / "airflow"):
        raise StackError(f"a stack already runs in {settings.home}: see `aimaas status`, or stop it with `aimaas down`")
    settings.home.mkdir(parents=True, exist_ok=True)
    bootstrap = _planned_bootstrap(settings, ports.kafka)
    replay_key = settings.replay_key or kept_secret(settings.home / "replay.key")
    reached = replace(settings, kafka={**settings.kafka, "bootstrap.servers": bootstrap}, replay_key=replay_key)
    kafka_port = int(bootstrap.rsplit(":", 1)[1])
    try:
        with ThreadPoolExecutor(3) as pool:
            broker = pool.submit(start_broker, settings.home / "kafka", settings.jars, kafka_port)
            airflow = pool.submit(start_airflow, reached, port=ports.airflow, triggerer=triggerer)
            registry = pool.submit(_prepare_registry, reached)
            stack = Stack(reached, broker.result(), airflow.result())
            registry.result()
        for fleet in fleets:
            create_topics(reached, topic_specs(fleet))
    except BaseException:
        stop_stack(settings)
        raise
    told = f"AIMAAS_KAFKA_BOOTSTRAP_SERVERS={bootstrap}\nAIMAAS_REPLAY_KEY={replay_key}\n"
    write_private(settings.home / STACK_FILE, told)
    return stack


def _planned_bootstrap(settings: Settings, wanted: int | None) -> str:
    """Where the broker will listen: known before it is up, so that Airflow can start beside it."""
    properties = settings.home / "kafka" / "server.properties"
    if properties.is_file():
        for line in properties.read_text().splitlines():
            if line.startswith("advertised.listeners=PLAINTEXT://"):
                return line.split("://", 1)[1]
    return f"{HOST}:{wanted or free_port()}"


def _prepare_registry(settings: Settings) -> None:
    import mlflow  # noqa: F401  # it sets up its own logging when imported

    from aimaas.registry import prepare_registry

    logging.getLogger("mlflow").setLevel(logging.WARNING)  # each table it makes is no news
    prepare_registry(settings)


def start_scorer(settings: Settings, fleet: FleetSpec, instance: str = "0") -> ManagedProcess:
    """Start `aimaas score` for a fleet as a process of the stack."""
    command = [sys.executable, "-m", "aimaas.cli", "score", "--fleet", fleet.fleet, "--instance", instance]
    return start_process(
        command,
        name=f"score-{fleet.fleet}-{instance}",
        folder=settings.home / "scorers",
        environ={**os.environ, **settings_variables(settings)},
    )


def stack_parts(settings: Settings) -> list[Part]:
    """What runs of the stack in `settings.home`, and where."""
    parts = []
    broker = find_broker(settings.home / "kafka", settings.jars)
    if broker:
        parts.append(Part("kafka", broker.bootstrap_servers, broker.is_alive(), broker.log))
    airflow = find_airflow(settings.home / "airflow")
    if airflow:
        login = f"{airflow.url} (login {airflow.user} / {airflow.password})"
        parts.append(Part("airflow", login, airflow.is_healthy(), airflow.folder / "scheduler.log"))
    parts += [Part(p.name, where, p.is_alive(), p.log) for p, where in running_pages(settings)]
    parts += [Part(p.name, settings.bootstrap_servers, p.is_alive(), p.log) for p in _scorers(settings)]
    return parts


def _scorers(settings: Settings) -> list[ManagedProcess]:
    folder = settings.home / "scorers"
    names = sorted(p.name.removesuffix(".pid.json") for p in folder.glob("*.pid.json"))
    return [p for p in (find_process(name, folder) for name in names) if p]


def stop_stack(settings: Settings) -> list[str]:
    """Stop every part that runs in `settings.home`; returns their names. Scorers first: they commit and leave."""
    stopped = []
    for process in [*_scorers(settings), *(page for page, _ in running_pages(settings))]:
        process.stop()
        stopped.append(process.name)
    airflow = find_airflow(settings.home / "airflow")
    if airflow:
        airflow.stop()
        stopped.append("airflow")
    end_leftovers((settings.home / "airflow").absolute())
    broker = find_broker(settings.home / "kafka", settings.jars)
    if broker:
        broker.stop()
        stopped.append("kafka")
    (settings.home / STACK_FILE).unlink(missing_ok=True)
    return stopped


def bring_up(settings: Settings, fleets: list[FleetSpec], ports: Ports) -> Stack:
    """Start all that `aimaas up` promises: broker, Airflow with the fleets' DAGs unpaused, pages, a scorer per fleet."""
    docs_port = ports.data_docs or free_port()
    settings = replace(settings, data_docs_url=settings.data_docs_url or f"http://localhost:{docs_port}")
    stack = start_stack(settings, fleets, ports, triggerer=True)
    try:
        start_mlflow(stack.settings, ports.mlflow)
        start_data_docs(stack.settings, docs_port)
        for fleet in fleets:
            start_scorer(stack.settings, fleet)
            for dag in stack.airflow.client.dag_ids():
                if dag.startswith(f"{fleet.fleet}_"):
                    stack.airflow.client.unpause(dag)
    except BaseException:
        stop_stack(settings)
        raise
    return stack
