"""Airflow's real programs, started and ended on this machine."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

from aimaas.errors import StackError
from aimaas.settings import Settings, read_settings
from local.airflow.client import RunState
from local.airflow.services import PROJECT_DAGS, Airflow, find_airflow, start_airflow
from local.supervision.programs import PART_MARK

T = TypeVar("T")
pytestmark = [pytest.mark.airflow, pytest.mark.timeout(600)]

DAGS = f"""
import sys

from airflow.sdk import Asset, dag, task

sys.path.insert(0, {str(PROJECT_DAGS)!r})
from fleet_dags.alerts import NOTIFIERS

made = Asset("made", uri="aimaas://test/made")


@dag(schedule=None)
def first():
    @task(outlets=[made])
    def make():
        from aimaas.settings import read_settings

        return str(read_settings().lake)

    @task(on_failure_callback=NOTIFIERS)
    def fail():
        raise ValueError("broken on purpose")

    @task
    def hang():
        import time

        time.sleep(600)

    made_here = make()
    made_here >> fail()
    made_here >> hang()


@dag(schedule=[made])
def second():
    @task
    def follow():
        return "followed"

    follow()


first()
second()
"""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return read_settings({"AIMAAS_HOME": str(tmp_path_factory.mktemp("home")), "AIMAAS_LAKE": "s3a://elsewhere/lake"})


@pytest.fixture(scope="module")
def dags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dags")
    (folder / "both.py").write_text(DAGS)
    return folder


@pytest.fixture(scope="module")
def airflow(settings: Settings, dags: Path) -> Iterator[Airflow]:
    running = start_airflow(settings, dags=dags)
    yield running
    running.kill()


def awaited(look: Callable[[], T | None], limit_s: float = 90) -> T:
    deadline = time.monotonic() + limit_s
    while (found := look()) is None:
        assert time.monotonic() < deadline, "the limit of this wait has passed"
        time.sleep(0.3)
    return found


def _alerts(settings: Settings) -> list[dict[str, str]]:
    path = settings.home / "airflow-alerts.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def processes_of(folder: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.environ().get(PART_MARK, "/")).is_relative_to(folder):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


@pytest.mark.long
def test_a_refused_call_says_what_was_asked_and_why(airflow: Airflow) -> None:
    with pytest.raises(StackError, match="refused POST /api/v2/dags/none/dagRuns: 404"):
        airflow.client.trigger("none")


@pytest.mark.long
def test_dags_run_follow_their_assets_and_tell_what_failed_through_a_kill_and_a_new_start(
    airflow: Airflow, settings: Settings, dags: Path
) -> None:
    client = airflow.client
    assert client.dag_ids() == ["first", "second"]
    assert airflow.is_healthy()
    for name in client.dag_ids():
        client.unpause(name)

    run_id = client.trigger("first")

    def second() -> RunState | None:
        return next((r for r in client.dag_runs("second") if r.state in ("success", "failed")), None)

    follower = awaited(second)
    assert (follower.state, follower.run_type) == ("success", "asset_triggered")
    assert client.return_value("second", follower.run_id, "follow") == "followed"
    assert client.return_value("first", run_id, "make") == "s3a://elsewhere/lake", "tasks see the caller's settings"

    failed = awaited(lambda: next((t for t in client.task_states("first", run_id) if t.state == "failed"), None))
    assert "broken on purpose" in client.log_path("first", run_id, failed).read_text()
    (alert,) = awaited(lambda: _alerts(settings) or None)
    assert (alert["dag_id"], alert["task_id"], alert["run_id"]) == ("first", "fail", run_id)
    assert alert["error"] == "ValueError: broken on purpose"

    awaited(lambda: next((t for t in client.task_states("first", run_id) if t.state == "running"), None))
    assert [t.dag_id for t in client.task_states("~", "~", "running") if t.started_at] == ["first"]
    airflow.processes[1].kill()  # the scheduler and its task
    airflow.kill()
    assert processes_of(airflow.folder) == []
    assert find_airflow(airflow.folder) is None

    again = start_airflow(settings, dags=dags)
    assert (again.url, again.client.password) == (airflow.url, airflow.client.password)
    assert run_id in [r.run_id for r in again.client.dag_runs("first")]
    found = find_airflow(airflow.folder)
    assert found is not None
    assert found.is_healthy()

    found.stop()
    assert processes_of(airflow.folder) == []


def test_a_port_that_is_taken_is_told_before_anything_starts(offline_settings: Settings, free_port: int) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port))
        taken.listen()

        with pytest.raises(StackError, match=f"port {free_port} is taken"):
            start_airflow(offline_settings, port=free_port)
