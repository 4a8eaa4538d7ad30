"""`aimaas up`: writes a plan of all programs, starts a supervisor for them, and creates topics and schedules.

On a running stack it repairs: it writes the plan again, and the supervisor starts programs, replaces them or leaves them alone. It
adds new fleets, topics and DAGs. It removes only the scorers of fleets whose file is gone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace

from filelock import FileLock, Timeout

from aimaas.errors import StackError
from aimaas.fleet import FleetSpec
from aimaas.kafka import create_topics
from aimaas.settings import Settings
from aimaas.topics import topic_specs
from local import broker, pages
from local.airflow import services as airflow
from local.airflow.schedules import unpause_new
from local.external import external_mlflow
from local.ports import HOST
from local.private_files import kept_secret
from local.stack import SCORER, prepare_own_registry, scorer_program, stop_all, stop_stack, tell_others
from local.stack_ports import Ports, check_asked, choose_ports
from local.stack_status import stack_parts
from local.supervision.part_states import STATES_FILE, PartState, read_states
from local.supervision.processes import find_process
from local.supervision.programs import Program, read_plan, write_plan
from local.supervision.supervisor import find_supervisor, folder_of, start_supervisor

READY_LIMIT_S = 300.0
_START_LIMIT_S = 10.0
_STOP_LIMIT_S = 120.0
_HOPELESS = 4  # failures in a row, after which `aimaas up` gives up on a part


@dataclass(frozen=True)
class _Stack:
    """A stack to start: settings with its addresses, its ports, the given fleets, and the caller's environment.

    The environment is copied at once, because MLflow adds variables when it is imported, which no part may inherit.
    """

    settings: Settings
    ports: Ports
    fleets: Sequence[FleetSpec]
    inherited: Mapping[str, str]


def bring_up(settings: Settings, fleets: Sequence[FleetSpec], asked: Ports) -> None:
    """Start or repair the stack: broker, Airflow with the fleets' DAGs, pages, a scorer for each fleet.

    Raises StackError. If a part of a new stack does not start, the whole stack is stopped.
    """
    check_asked(asked)
    with _alone(settings):
        ran = find_supervisor(settings.home) is not None or any(part.alive for part in stack_parts(settings))
        stack = _planned(settings, fleets, asked)
        if not ran:
            (folder_of(settings.home) / STATES_FILE).unlink(missing_ok=True)
        try:
            _start(stack)
        except BaseException:
            if not ran:
                stop_stack(settings)
            raise


def stop_scorers(settings: Settings, fleets: Collection[str]) -> list[str]:
    """Stop the scorers of these fleets, and return their names; the rest of the stack runs on, and `bring_up` starts them again.

    A scorer commits and leaves its group first. Raises StackError if one has not ended after 120 s.
    """
    with _alone(settings):
        folder = folder_of(settings.home)
        known = read_plan(folder)
        stopped = [p for p in known if p.name.startswith(SCORER) and _fleet_of(p) in fleets]
        running = [found for p in stopped if (found := find_process(p.name, p.folder)) is not None]
        if stopped:
            write_plan(folder, [p for p in known if p not in stopped])
        if find_supervisor(settings.home) is None:
            stop_all(running)
        deadline = time.monotonic() + _STOP_LIMIT_S
        while any(process.is_alive() for process in running):
            if time.monotonic() > deadline:
                raise StackError(f"the scorers have not ended after {_STOP_LIMIT_S:.0f} s: see {running[0].log}")
            time.sleep(0.1)
    return [process.name for process in running]


def _fleet_of(scorer: Program) -> str:
    return scorer.name.removeprefix(SCORER).rpartition("-")[0]


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """Keep a second `aimaas up` of the same home from running."""
    settings.home.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(settings.home / "up.lock", timeout=0):
            yield
    except Timeout:
        raise StackError(f"another `aimaas up` is running for {settings.home}: wait for it") from None


def _planned(settings: Settings, fleets: Sequence[FleetSpec], asked: Ports) -> _Stack:
    """Choose the ports, and return the settings with the addresses of the stack. Nothing is started or written yet."""
    home, outside = settings.home, external_mlflow(settings)
    if outside and asked.mlflow:
        raise StackError(f"MLflow runs at {outside} (AIMAAS_MLFLOW_TRACKING_URI): leave out --mlflow-port")
    kept = Ports(
        broker.kept_port(home / "kafka"),
        airflow.kept_port(home / "airflow"),
        pages.kept_port(settings, pages.MLFLOW),
        pages.kept_port(settings, pages.DATA_DOCS),
    )
    ours = {p.port for p in read_plan(folder_of(home)) if p.port and find_process(p.name, p.folder)}
    ports = choose_ports(asked, kept, ours, without={"mlflow"} if outside else set())
    reached = replace(
        settings,
        kafka={**settings.kafka, "bootstrap.servers": f"{HOST}:{ports.kafka}"},
        replay_key=settings.replay_key or kept_secret(home / "replay.key"),
        data_docs_url=settings.data_docs_url or f"http://localhost:{ports.data_docs}",
    )
    return _Stack(reached, ports, fleets, dict(os.environ))


def _start(stack: _Stack) -> None:
    """Start the shared parts, then create topics, start scorers, unpause DAGs. The order matters: a scorer needs its topics."""
    settings = stack.settings
    with ThreadPoolExecutor(2) as pool:
        runs = find_process(pages.MLFLOW, settings.home / "mlflow") is not None
        registry = None if runs else pool.submit(prepare_own_registry, settings)
        engines = _engines(stack)
        if registry is not None:
            registry.result()
    before = read_states(folder_of(settings.home))
    known = [p for p in read_plan(folder_of(settings.home)) if p.name.startswith(SCORER)]
    write_plan(folder_of(settings.home), [*engines, *known])
    if find_supervisor(settings.home) is None:
        start_supervisor(settings.home)
    tell_others(settings)
    _await(stack, [p.name for p in engines], before)
    for fleet in stack.fleets:
        create_topics(settings, topic_specs(fleet))
    write_plan(folder_of(settings.home), [*engines, *_scorers(stack, known)])
    found = airflow.find_airflow(settings.home / "airflow")
    if found is not None:
        found.make_pool()
        unpause_new(found, [fleet.fleet for fleet in stack.fleets])
    _await_started(settings)


def _engines(stack: _Stack) -> list[Program]:
    """Return the programs that all fleets share."""
    settings, ports, inherited = stack.settings, stack.ports, stack.inherited
    programs = [broker.broker_program(settings.home / "kafka", settings.jars, ports.kafka)]
    programs += airflow.airflow_programs(
        settings, settings.home / "airflow", ports.airflow or 0, inherited, triggerer=True
    )
    if not external_mlflow(settings):
        programs.append(pages.mlflow_program(settings, ports.mlflow or 0, inherited))
    return [*programs, pages.data_docs_program(settings, ports.data_docs or 0)]


def _scorers(stack: _Stack, known: Sequence[Program]) -> list[Program]:
    """Return a scorer for each given fleet, and for each fleet that has a scorer already and still has its file."""
    settings = stack.settings
    asked = {fleet.fleet for fleet in stack.fleets}
    there = {_fleet_of(p) for p in known}
    kept = {name for name in there - asked if (settings.fleets / f"{name}.yaml").is_file()}
    return [scorer_program(settings, name, stack.inherited) for name in sorted(asked | kept)]


def _await(stack: _Stack, names: Sequence[str], before: Mapping[str, PartState]) -> None:
    """Wait up to 300 s until these parts serve and the DAGs are read. Raises StackError for a part that ends repeatedly."""
    settings, deadline = stack.settings, time.monotonic() + READY_LIMIT_S
    while True:
        _check_hope(settings, names, before)
        parts = [part for part in stack_parts(settings) if part.name in names]
        late = [part for part in parts if part.state != "up"]
        if not late and _has_dags(settings):
            return
        if time.monotonic() > deadline:
            what = f"{late[0].name} is {late[0].state}: see {late[0].log}" if late else "Airflow has read no DAG"
            raise StackError(f"the stack was not up after {READY_LIMIT_S:.0f} s: {what}")
        time.sleep(0.3)


def _await_started(settings: Settings) -> None:
    """Wait until the supervisor has started the new programs of its plan, so that the printed states are up to date."""
    deadline, folder = time.monotonic() + _START_LIMIT_S, folder_of(settings.home)
    names = {program.name for program in read_plan(folder)}
    while names - {n for n, s in read_states(folder).items() if s.runs or s.failures} and time.monotonic() < deadline:
        time.sleep(0.1)


def _check_hope(settings: Settings, names: Sequence[str], before: Mapping[str, PartState]) -> None:
    """Raise StackError if the supervisor has ended, or if one of these parts ends after every start."""
    if find_supervisor(settings.home) is None:
        raise StackError(f"the supervisor ended: see {folder_of(settings.home) / 'supervisor.log'}")
    for name, state in read_states(folder_of(settings.home)).items():
        tries = state.restarts - (before[name].restarts if name in before else 0)
        if name in names and min(state.failures, tries) >= _HOPELESS:
            raise StackError(f"{name} ends after every start: {state.last_error}")


def _has_dags(settings: Settings) -> bool:
    found = airflow.find_airflow(settings.home / "airflow")
    return found is not None and found.has_read_dags()
