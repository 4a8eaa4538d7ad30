"""The state of each part of the stack, for `aimaas status`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from aimaas.errors import StackError
from aimaas.settings import Settings
from local.airflow.client import AirflowClient
from local.airflow.services import find_airflow
from local.external import external_mlflow
from local.ports import HOST, answers
from local.supervision.part_states import PartState, read_states
from local.supervision.processes import ManagedProcess, find_process
from local.supervision.programs import Program, read_plan
from local.supervision.supervisor import NAME, find_supervisor, folder_of

State = Literal["up", "starting", "restarting", "dead", "silent"]
_START_S = 180.0  # a part may take this long until it answers
_ANSWER_S = 5.0
_SETTLE_S = 10.0  # a part that failed and has run for less may fail again
_HEARTBEATS = {"scheduler": "scheduler", "dag-processor": "dag_processor", "triggerer": "triggerer"}


@dataclass(frozen=True)
class Part:
    """One part of the stack.

    `state` is `up`; `starting` (it does not answer yet); `restarting` (it ended and will be restarted, or was just restarted);
    `dead` (it ended and nothing restarts it); or `silent` (it runs and does not answer). `since` is in Unix seconds, None if it is
    not known.
    """

    name: str
    state: State
    where: str
    log: Path
    since: float | None = None
    restarts: int = 0
    next_at: float | None = None
    last_error: str = ""

    @property
    def alive(self) -> bool:
        """Return whether its process runs."""
        return self.state in ("up", "starting", "silent")


def stack_parts(settings: Settings) -> list[Part]:
    """Return the supervisor and each part of the plan below `settings.home`, in any state; empty if no stack was started."""
    folder = folder_of(settings.home)
    programs = read_plan(folder)
    if not programs:
        return []
    supervisor = find_supervisor(settings.home)
    states, now = read_states(folder), time.time()
    beats = _heartbeats(settings)
    parts = [_part(p, states.get(p.name), supervisor is not None, beats, now) for p in programs]
    parts += _external(settings)
    log = folder / f"{NAME}.log"
    if supervisor is None:
        return [Part(NAME, "dead", "nothing is restarted until `aimaas up`", log), *parts]
    return [Part(NAME, "up", "", log, supervisor.started_at), *parts]


def _part(program: Program, known: PartState | None, supervised: bool, beats: Mapping[str, str], now: float) -> Part:
    process = find_process(program.name, program.folder)
    seen = known or PartState(runs=process is not None, since=now)
    state, since = _state(program, process, seen, supervised, beats, now)
    log = program.folder / f"{program.name}.log"
    return Part(program.name, state, _where(program), log, since, seen.restarts, seen.next_at, seen.last_error)


def _state(
    program: Program,
    process: ManagedProcess | None,
    seen: PartState,
    supervised: bool,
    beats: Mapping[str, str],
    now: float,
) -> tuple[State, float | None]:
    """Return the state of a part, and its time in Unix seconds."""
    if process is None and supervised and not seen.restarts and not seen.failures:
        return "starting", seen.since  # it was just added to the plan
    if process is None:
        since = seen.failing_since or (None if seen.runs else seen.since)
        return ("restarting" if supervised else "dead"), since
    ran_s, answering = now - process.started_at, _answers(program, beats)
    if seen.failures > 1 and (not answering or ran_s < _SETTLE_S):
        return "restarting", seen.failing_since
    return ("up" if answering else "starting" if ran_s < _START_S else "silent"), process.started_at


def _answers(program: Program, beats: Mapping[str, str]) -> bool:
    """Return whether a part with a port answers there, or a program of Airflow has a fresh heartbeat."""
    if program.port is not None:
        return answers(HOST, program.port)
    return beats.get(program.name, "healthy") == "healthy"


def tasks_at_work(settings: Settings) -> list[tuple[str, float | None]]:
    """Return `<dag>/<task>` and start (Unix seconds) of each running task; none if Airflow's API server does not answer."""
    client = _client(settings)
    try:
        found = client.task_states("~", "~", "running") if client else []
    except StackError:
        return []
    return [(f"{t.dag_id}/{t.task_id}", t.started_at.timestamp() if t.started_at else None) for t in found]


def _client(settings: Settings) -> AirflowClient | None:
    """Return a client with a short time-out, for an API server that is silent."""
    airflow = find_airflow(settings.home / "airflow")
    if airflow is None:
        return None
    airflow.client.timeout_s = _ANSWER_S
    return airflow.client


def _heartbeats(settings: Settings) -> dict[str, str]:
    """Return program of Airflow -> health; none if its API server does not answer."""
    client = _client(settings)
    try:
        health = client.health() if client else {}
    except StackError:
        return {}
    return {name: health.get(part) or "unknown" for name, part in _HEARTBEATS.items()} if health else {}


def _external(settings: Settings) -> list[Part]:
    """Return MLflow as a part if it runs elsewhere and has a network address."""
    where = external_mlflow(settings)
    address = urlsplit(where or "")
    if where is None or address.hostname is None:
        return []
    up = answers(address.hostname, address.port or (443 if address.scheme == "https" else 80), timeout_s=3)
    return [Part("mlflow", "up" if up else "silent", f"{where}, not started by this stack", Path())]


def _where(program: Program) -> str:
    if program.port is None:
        return ""
    return f"{HOST}:{program.port}" if program.name == "kafka" else f"http://localhost:{program.port}"
