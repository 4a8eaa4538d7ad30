"""A client of Airflow's REST API (v2): trigger, unpause, states of runs and tasks."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from aimaas.errors import StackError

_PAGE = 100  # Airflow's largest page
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy would not find this machine


class TaskState(msgspec.Struct, frozen=True, rename={"started_at": "start_date", "ended_at": "end_date"}):
    """One task of one run. Times are None before it began or ended. `state` is Airflow's term."""

    dag_id: str
    task_id: str
    state: str | None
    try_number: int
    started_at: datetime | None
    ended_at: datetime | None


class RunState(msgspec.Struct, frozen=True, rename={"run_id": "dag_run_id"}):
    """One run of a DAG; `state` is queued, running, success or failed."""

    dag_id: str
    run_id: str
    state: str
    run_type: str


@dataclass
class AirflowClient:
    """A client of one Airflow API server. It logs in at the first call. Every refused call raises StackError."""

    url: str
    user: str
    password: str = field(repr=False)
    logs: Path
    timeout_s: float = 30.0
    _token: str = field(default="", repr=False)

    def health(self) -> dict[str, str | None]:
        """Return component -> status (`healthy`, `unhealthy`, None if it never ran)."""
        return {name: part.get("status") for name, part in self._call("GET", "/api/v2/monitor/health").items()}

    def execution_health(self) -> None:
        """Ask the API of running tasks for its health."""
        self._call("GET", "/execution/health")

    def dag_ids(self) -> list[str]:
        """Return the ids of all DAGs that the DAG processor has read."""
        found: list[str] = []
        while len(page := self.get(f"/dags?limit={_PAGE}&offset={len(found)}&order_by=dag_id")["dags"]) == _PAGE:
            found += [d["dag_id"] for d in page]
        return sorted([*found, *(d["dag_id"] for d in page)])

    def import_errors(self) -> dict[str, str]:
        """Return DAG file -> its import error."""
        found = self.get("/importErrors?limit=100")["import_errors"]
        return {e["filename"]: e["stack_trace"] for e in found}

    def unpause(self, dag_id: str) -> None:
        """Let the DAG be scheduled."""
        self.send("PATCH", f"/dags/{dag_id}?update_mask=is_paused", {"is_paused": False})

    def ensure_pool(self, name: str, slots: int, description: str) -> None:
        """Create the pool unless it exists. An existing pool keeps its slots."""
        pools = self.get("/pools?limit=100")["pools"]
        if name not in (p["name"] for p in pools):
            self.send("POST", "/pools", {"name": name, "slots": slots, "description": description})

    def trigger(self, dag_id: str) -> str:
        """Start a run now and return its run id."""
        return str(self.send("POST", f"/dags/{dag_id}/dagRuns", {"logical_date": None, "conf": {}})["dag_run_id"])

    def dag_runs(self, dag_id: str) -> list[RunState]:
        """Return the DAG's runs, newest first (at most 100)."""
        found = self.get(f"/dags/{dag_id}/dagRuns?limit=100&order_by=-run_after")["dag_runs"]
        return msgspec.convert(found, list[RunState])

    def task_states(self, dag_id: str, run_id: str, state: str = "") -> list[TaskState]:
        """Return the tasks of a run, in the order of their starts; tasks that did not start come last (at most 100).

        `~` as an id stands for all DAGs, or all runs. With `state` only the tasks in this state are returned.
        """
        path = f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}/taskInstances?limit=100"
        found = self.get(f"{path}&state={state}" if state else path)["task_instances"]
        return sorted(msgspec.convert(found, list[TaskState]), key=_began)

    def return_value(self, dag_id: str, run_id: str, task_id: str) -> Any:
        """Return the return value of a task (its XCom `return_value`)."""
        run = quote(run_id, safe="")
        path = f"/dags/{dag_id}/dagRuns/{run}/taskInstances/{task_id}/xcomEntries/return_value?stringify=false"
        return self.get(path)["value"]

    def log_path(self, dag_id: str, run_id: str, task: TaskState) -> Path:
        """Return the log file of a task's last try."""
        parts = (f"dag_id={dag_id}", f"run_id={run_id}", f"task_id={task.task_id}", f"attempt={task.try_number}.log")
        return self.logs.joinpath(*parts)

    def get(self, path: str) -> dict[str, Any]:
        """Return the answer of the API's `path` below `/api/v2`."""
        return self._authorized("GET", path, None)

    def send(self, method: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Send a body to the API's `path` below `/api/v2`, and return the answer."""
        return self._authorized(method, path, body)

    def _authorized(self, method: str, path: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        if not self._token:
            self._log_in()
        try:
            return self._call(method, f"/api/v2{path}", body)
        except _UnauthorizedError:
            self._log_in()  # the token expired after a day, or the server has a new secret
            return self._call(method, f"/api/v2{path}", body)

    def _log_in(self) -> None:
        answer = self._call("POST", "/auth/token", {"username": self.user, "password": self.password})
        self._token = str(answer["access_token"])

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        headers = {"content-type": "application/json"} | (
            {"authorization": f"Bearer {self._token}"} if self._token else {}
        )
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, headers=headers, method=method)  # noqa: S310
        try:
            with _OPENER.open(request, timeout=self.timeout_s) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except urllib.error.HTTPError as problem:
            error = _UnauthorizedError if problem.code == 401 else StackError
            raise error(f"Airflow at {self.url} refused {method} {path}: {problem.code} {_detail(problem)}") from None
        except (OSError, ValueError) as problem:
            where = f"Airflow at {self.url} does not answer {method} {path}"
            raise StackError(f"{where}: {problem}; see the logs in {self.logs.parent}") from None


class _UnauthorizedError(StackError):
    """The server does not accept the token."""


def _detail(problem: urllib.error.HTTPError) -> str:
    text = problem.read().decode(errors="replace")
    try:
        return str(json.loads(text)["detail"])
    except (ValueError, KeyError, TypeError):
        return text[:200] or str(problem.reason)


def _began(task: TaskState) -> tuple[bool, float]:
    """Sort key: the start of a task; tasks that did not start come last."""
    return task.started_at is None, task.started_at.timestamp() if task.started_at else 0.0
