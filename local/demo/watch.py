"""Waits for the DAGs: which task runs, which failed, and when a new champion is announced."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from aimaas.errors import StackError
from aimaas.fleet import FleetSpec
from aimaas.records.events import Announcement
from aimaas.registry.announcements import announced
from aimaas.settings import Settings
from local.airflow.client import RunState
from local.airflow.services import Airflow

STAGES = ("ingest", "prepare", "train")
_POLL_S = 1.0  # two cores: each look costs the API server a tenth of a second


@dataclass(frozen=True)
class Trained:
    """The result of a training: its version, its announcement if it became champion, and the reason of the decision."""

    version: str
    announced: Announcement | None
    reason: str


@dataclass
class Chain:
    """The fleet's DAG runs from a given moment on. Earlier runs are ignored."""

    airflow: Airflow
    fleet: FleetSpec
    ignored: frozenset[tuple[str, str]]

    @classmethod
    def begin(cls, airflow: Airflow, fleet: FleetSpec) -> Chain:
        """Unpause the fleet's DAGs and start an ingest run. The scheduler starts the other DAGs."""
        dags = [f"{fleet.fleet}_{stage}" for stage in STAGES]
        ignored = frozenset((dag, r.run_id) for dag in dags for r in airflow.client.dag_runs(dag))
        for dag in dags:
            airflow.client.unpause(dag)
        airflow.client.trigger(dags[0])
        return cls(airflow, fleet, ignored)

    def await_training(self, settings: Settings, after: int, limit_s: float, say: Callable[[str], None]) -> Trained:
        """Wait until a training has ended. If its model was promoted, its announcement has a sequence above `after`.

        Raises StackError with the log to read if a task fails or the time is over.
        """
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            say(self.look())
            run = self._trained_run()
            if run is not None:
                found = announced(settings, self.fleet)
                verdict = self.airflow.client.return_value(run.dag_id, run.run_id, "register_and_promote")
                won = found if found and found.sequence > after else None
                return Trained(str(verdict["version"]), won, str(verdict["reason"]))
            time.sleep(_POLL_S)
        raise StackError(
            f"no training ended within {limit_s:.0f} s; see the runs at {self.airflow.url} "
            f"or the task logs in {self.airflow.client.logs}"
        )

    def _trained_run(self) -> RunState | None:
        """Return a successful run that trained. Its announcement is skipped if its model was not promoted."""
        for run in self._runs(f"{self.fleet.fleet}_train"):
            if run.state == "success" and any(
                t.task_id == "register_and_promote" and t.state == "success"
                for t in self.airflow.client.task_states(run.dag_id, run.run_id)
            ):
                return run
        return None

    def look(self) -> str:
        """Return what runs now, in a few words. Raises StackError if a task failed for good."""
        now = "waiting for the scheduler"
        for stage in STAGES:
            dag = f"{self.fleet.fleet}_{stage}"
            for run in self._runs(dag):
                if run.state == "success":
                    continue
                tasks = self.airflow.client.task_states(dag, run.run_id)
                failed = [t for t in tasks if t.state == "failed"]
                if failed:
                    log = self.airflow.client.log_path(dag, run.run_id, failed[0])
                    raise StackError(f"task {failed[0].task_id} of {dag} failed; see {log}")
                running = [t.task_id for t in tasks if t.state == "running"]
                now = f"{dag}: {', '.join(running)}" if running else now
        return now

    def seconds(self) -> dict[str, float]:
        """Return the seconds of each task, by `dag.task`. The seconds of a task that ran twice are added."""
        took: dict[str, float] = {}
        for stage in STAGES:
            dag = f"{self.fleet.fleet}_{stage}"
            for run in self._runs(dag):
                for task in self.airflow.client.task_states(dag, run.run_id):
                    if task.started_at and task.ended_at:
                        name = f"{stage}.{task.task_id}"
                        took[name] = round(took.get(name, 0) + (task.ended_at - task.started_at).total_seconds(), 1)
        return took

    def _runs(self, dag: str) -> list[RunState]:
        return [r for r in self.airflow.client.dag_runs(dag) if (dag, r.run_id) not in self.ignored]
