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

from aimaas.errors import StackError

ENDED = ("success", "failed")
_PAGE = 100  # Airflow's largest page
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy would not find this machine


@dataclass(frozen=True)
class TaskState:
    """One task of one run. Times are None before it began or ended. `state` is Airflow's term."""

    task_id: str
    state: str | None
    try_number: int
    started_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True)
class RunState:
    """One run of a DAG; `state` is queued, running, success or failed."""

    dag_id: str
    run_id: str
    state: str
    run_type: str
    started_at: datetime | None
    ended_at: datetime | None


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
        while len(page := self._get(f"/dags?limit={_PAGE}&offset={len(found)}&order_by=dag_id")["dags"]) == _PAGE:
            found += [d["dag_id"] for d in page]
        return sorted([*found, *(d["dag_id"] for d in page)])

    def import_errors(self) -> dict[str, str]:
        """Return DAG file -> its import error."""
        found = self._get("/importErrors?limit=100")["import_errors"]
        return {e["filename"]: e["stack_trace"] for e in found}

    def unpause(self, dag_id: str) -> None:
        """Let the DAG be scheduled."""
        self._send("PATCH", f"/dags/{dag_id}?update_mask=is_paused", {"is_paused": False})

    def pause(self, dag_id: str) -> None:
        """Stop scheduling the DAG. Running runs continue."""
        self._send("PATCH", f"/dags/{dag_id}?update_mask=is_paused", {"is_paused": True})

    def ensure_pool(self, name: str, slots: int, description: str) -> None:
        """Create the pool unless it exists. An existing pool keeps its slots."""
        pools = self._get("/pools?limit=100")["pools"]
        if name not in (p["name"] for p in pools):
            self._send("POST", "/pools", {"name": name, "slots": slots, "description": description})

    def backfill(self, dag_id: str, first: datetime, last: datetime, max_active_runs: int, again: bool = False) -> int:
        """Start a backfill over the data intervals from `first` to `last`, with `again` also those that ran. Return its id."""
        body = {"dag_id": dag_id, "from_date": first.isoformat(), "to_date": last.isoformat()}
        how = {"max_active_runs": max_active_runs, "reprocess_behavior": "completed" if again else "none"}
        return int(self._send("POST", "/backfills", {**body, **how})["id"])

    def backfill_is_over(self, backfill_id: int) -> bool:
        """Return whether all runs of a backfill have ended. Airflow notes it half a minute later."""
        return self._get(f"/backfills/{backfill_id}")["completed_at"] is not None

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None) -> str:
        """Start a run now and return its run id."""
        body = {"logical_date": None, "conf": dict(conf or {})}
        return str(self._send("POST", f"/dags/{dag_id}/dagRuns", body)["dag_run_id"])

    def dag_runs(self, dag_id: str) -> list[RunState]:
        """Return the DAG's runs, newest first (at most 100)."""
        found = self._get(f"/dags/{dag_id}/dagRuns?limit=100&order_by=-run_after")["dag_runs"]
        return [_run(r) for r in found]

    def dag_run(self, dag_id: str, run_id: str) -> RunState:
        """Return one run."""
        return _run(self._get(f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}"))

    def task_states(self, dag_id: str, run_id: str) -> list[TaskState]:
        """Return the tasks of a run, in the order of their starts; tasks that did not start come last."""
        path = f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}/taskInstances?limit=100"
        return sorted((_task(t) for t in self._get(path)["task_instances"]), key=_began)

    def tasks_at_work(self) -> list[tuple[str, TaskState]]:
        """Return the running tasks with their DAGs, in the order of their starts (at most 100)."""
        found = self._get("/dags/~/dagRuns/~/taskInstances?state=running&limit=100")["task_instances"]
        return sorted(((t["dag_id"], _task(t)) for t in found), key=lambda t: _began(t[1]))

    def return_value(self, dag_id: str, run_id: str, task_id: str) -> Any:
        """Return the return value of a task (its XCom `return_value`)."""
        run = quote(run_id, safe="")
        path = f"/dags/{dag_id}/dagRuns/{run}/taskInstances/{task_id}/xcomEntries/return_value?stringify=false"
        return self._get(path)["value"]

    def log_path(self, dag_id: str, run_id: str, task: TaskState) -> Path:
        """Return the log file of a task's last try."""
        parts = (f"dag_id={dag_id}", f"run_id={run_id}", f"task_id={task.task_id}", f"attempt={task.try_number}.log")
        return self.logs.joinpath(*parts)

    def _get(self, path: str) -> dict[str, Any]:
        return self._authorized("GET", path, None)

    def _send(self, method: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
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


def _time(value: str | None) -> datetime | None:
    return datetime.fromisoformat(value) if value else None


def _run(found: Mapping[str, Any]) -> RunState:
    return RunState(
        dag_id=found["dag_id"],
        run_id=found["dag_run_id"],
        state=found["state"],
        run_type=found["run_type"],
        started_at=_time(found["start_date"]),
        ended_at=_time(found["end_date"]),
    )


def _began(task: TaskState) -> tuple[bool, float]:
    """Sort key: the start of a task; tasks that did not start come last."""
    return task.started_at is None, task.started_at.timestamp() if task.started_at else 0.0


def _task(found: Mapping[str, Any]) -> TaskState:
    return TaskState(
        task_id=found["task_id"],
        state=found["state"],
        try_number=found["try_number"],
        started_at=_time(found["start_date"]),
        ended_at=_time(found["end_date"]),
    )
