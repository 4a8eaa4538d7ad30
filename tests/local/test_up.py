"""`aimaas up` as a person runs it: each part is killed in turn under load, and serves again; nothing is lost.

`pytest -s tests/local/test_up.py` prints the table of seconds of docs/how-to/run-on-one-machine.md.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from aimaas.fleet import FleetSpec, load_fleet
from aimaas.kafka import read_all
from aimaas.registry.versions import set_champion
from aimaas.settings import Settings, read_settings
from aimaas.topics import topic_names
from local.airflow.services import Airflow, find_airflow
from local.demo.tap import Tap
from local.demo.traffic import DemoPlan, LiveFeed, live_histories, send_history
from local.ports import free_port
from local.stack_ports import Ports
from local.stack_status import stack_parts
from local.supervision.processes import ManagedProcess, find_process
from local.supervision.programs import read_plan
from local.supervision.supervisor import folder_of
from local.up import _engines, _planned
from models.promotion.announce import announce
from stream.devices.simulator import simulate
from tests.conftest import FLEETS
from tests.local.supervision.test_supervisor import awaited, marked
from tests.stream.conftest import register_model, tiny_model

pytestmark = [pytest.mark.airflow, pytest.mark.broker, pytest.mark.long, pytest.mark.timeout(3600)]

LIMIT_S = 300.0
PORTS = ("kafka", "airflow", "mlflow", "data-docs")
HEARTBEATS = ("scheduler", "dag-processor", "triggerer")


@dataclass(frozen=True)
class Up:
    """A stack that `aimaas up` started for the fleet files in a folder of the test's own."""

    home: Path
    fleets: Path
    ports: dict[str, int]

    @property
    def environ(self) -> dict[str, str]:
        return {
            "AIMAAS_HOME": str(self.home),
            "AIMAAS_FLEETS": str(self.fleets),
            "AIMAAS_JARS": str(read_settings().jars),
        }

    @property
    def settings(self) -> Settings:
        return read_settings(self.environ)

    def run(self, *arguments: str, limit_s: float = 600) -> subprocess.CompletedProcess[str]:
        """The command line in a shell of its own."""
        command = [sys.executable, "-m", "cli", *arguments]
        environ = {**os.environ, **self.environ, "COLUMNS": "200"}
        return subprocess.run(
            command, env=environ, capture_output=True, text=True, timeout=limit_s, check=False, start_new_session=True
        )

    def up(self, **ports: int) -> None:
        options = [text for name, port in ports.items() for text in (f"--{name}-port", str(port))]
        done = self.run("up", *options)
        assert done.returncode == 0, done.stdout + done.stderr

    def process(self, name: str) -> ManagedProcess | None:
        folder = next((p.folder for p in read_plan(folder_of(self.home)) if p.name == name), folder_of(self.home))
        return find_process(name, folder)

    def kill(self, name: str) -> tuple[float, int]:
        """SIGKILL the process of a part; when that was, in Unix seconds, and which it was."""
        process = self.process(name)
        assert process is not None, name
        os.kill(process.pid, signal.SIGKILL)
        return time.time(), process.pid

    def has_another(self, name: str, pid: int) -> bool:
        """Whether a part has a new process: what a killed one left behind may answer for a moment."""
        process = self.process(name)
        return process is not None and process.pid != pid


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    folder = tmp_path_factory.mktemp("up")
    (folder / "fleets").mkdir()
    shutil.copy(FLEETS / "mill.yaml", folder / "fleets")
    found = Up(folder / "home", folder / "fleets", {name: free_port() for name in PORTS})
    found.up(**found.ports)
    yield found
    found.run("down")
    assert marked(found.settings) == [], "down leaves nothing running"


@pytest.fixture(scope="module")
def mill(up: Up) -> FleetSpec:
    return load_fleet(up.fleets / "mill.yaml")


def page(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=2) as found:  # noqa: S310 - our own server
        content: bytes = found.read()
        return content


def answers(url: str) -> bool:
    try:
        return bool(page(url))
    except OSError:
        return False


def beats_after(up: Up, part: str, at: float) -> bool:
    """Whether a program of Airflow has sent a heartbeat since a moment."""
    key = part.replace("-", "_")
    try:
        health = json.loads(page(f"http://127.0.0.1:{up.ports['airflow']}/api/v2/monitor/health"))
    except OSError:
        return False
    beat = health[key][f"latest_{key}_heartbeat"]
    return beat is not None and datetime.fromisoformat(beat).timestamp() > at


def predicted_after(tap: Tap, at: float) -> bool:
    return any(seen.sent_at > at for seen in tap.seen[-200:])


def checks(up: Up, tap: Tap) -> dict[str, tuple[str, Callable[[float], bool]]]:
    """Part -> what shows that it serves again, and the question itself, asked with the moment of the kill."""
    airflow, mlflow, docs = (f"http://127.0.0.1:{up.ports[name]}" for name in ("airflow", "mlflow", "data-docs"))
    new_beat = {
        name: ("a new heartbeat", lambda at, name=name: beats_after(up, name, at)) for name in HEARTBEATS
    }  # fmt: skip
    return {
        "kafka": ("an event sent after the kill is predicted", lambda at: predicted_after(tap, at)),
        "score-mill-0": ("an event sent after the kill is predicted", lambda at: predicted_after(tap, at)),
        "api-server": ("its health page answers", lambda _: answers(f"{airflow}/api/v2/monitor/health")),
        **new_beat,
        "mlflow": ("its health page answers", lambda _: answers(f"{mlflow}/health")),
        "data-docs": ("its index answers", lambda _: answers(docs)),
    }


def all_up(up: Up) -> bool:
    parts = stack_parts(up.settings)
    return bool(parts) and all(part.state == "up" for part in parts)


def one_of_each(up: Up) -> bool:
    """Whether no program runs twice: the command line of each is that of one leader of a session."""
    leaders = [p for p in marked(up.settings) if os.getsid(p.pid) == p.pid]
    commands = [tuple(p.cmdline()) for p in leaders]
    planned = [p.command for p in read_plan(folder_of(up.home))]
    return all(commands.count(tuple(command)) <= 1 for command in planned)


def test_each_part_that_is_killed_under_load_serves_again_and_nothing_is_lost(
    up: Up, mill: FleetSpec, tmp_path: Path
) -> None:
    settings = up.settings
    version = register_model(settings, mill, tmp_path, tiny_model(mill))
    set_champion(settings, mill, version)
    assert announce(settings, mill) is not None
    history = send_history(settings, mill, simulate(mill, 20, 7), 5, lambda *_: None)
    tap = Tap(settings, topic_names(mill).predictions)
    tap.start()
    assert tap.await_count(len(history.truth), LIMIT_S)
    airflow = find_airflow(settings.home / "airflow")
    assert airflow is not None
    pause(airflow, "mill_train")  # it would take the machine for minutes, and is about something else
    airflow.client.trigger("mill_ingest")  # so that kills hit tasks at work
    feed = LiveFeed(settings, mill, live_histories(mill, DemoPlan()), rate=20)
    feed.start()
    awaited(lambda: predicted_after(tap, time.time() - 2), LIMIT_S)

    print("\n| killed | serves again after | which shows by |\n|---|---|---|")  # noqa: T201
    for part, (question, serving) in checks(up, tap).items():
        at, pid = up.kill(part)
        awaited(partial(up.has_another, part, pid), LIMIT_S)
        awaited(partial(serving, at), LIMIT_S)
        print(f"| {part} | {time.time() - at:.1f} s | {question} |", flush=True)  # noqa: T201
        awaited(lambda: all_up(up), LIMIT_S)
    up.kill("supervisor")
    assert up.run("status").returncode == 1
    at = time.time()
    up.up()
    print(f"| supervisor | {time.time() - at:.1f} s | `aimaas up` has ended (it took so long) |", flush=True)  # noqa: T201
    awaited(lambda: all_up(up), LIMIT_S)
    assert up.run("status").returncode == 0
    assert one_of_each(up)

    live = feed.finish()
    awaited(lambda: {seen.event for seen in tap.seen} >= live.truth.keys(), LIMIT_S)
    tap.stop()
    landed(up)
    found = awaited(lambda: reconciled(up), 1200)  # gold follows silver by itself
    assert (found["gaps"], found["lost"]) == ([], [])
    assert found["events"]["predicted"] == len(history.truth) + len(live.truth)
    written = [json.loads(record.value or b"") for record in read_all(settings, topic_names(mill).predictions)]
    assert max(Counter((p["device_id"], p["run"], p["seq"]) for p in written).values()) == 1
    print(json.dumps(found["events"]), flush=True)  # noqa: T201


def reconciled(up: Up) -> dict[str, Any] | None:
    """What `aimaas reconcile` prints once it finds no gap."""
    told = up.run("reconcile", "--fleet", "mill", "--json")
    return json.loads(told.stdout) if told.returncode == 0 else None


def landed(up: Up) -> None:
    """Let Airflow, as it is after all kills, land and judge all that was sent; the runs that kills cut off it repeats first."""
    airflow = find_airflow(up.home / "airflow")
    assert airflow is not None
    last = airflow.client.trigger("mill_ingest")

    def state() -> str | None:
        return next((r.state for r in airflow.client.dag_runs("mill_ingest") if r.run_id == last), None)

    awaited(lambda: state() in ("success", "failed"), 1200)
    assert state() == "success"


def pause(airflow: Airflow, dag: str) -> None:
    airflow.client.send("PATCH", f"/dags/{dag}?update_mask=is_paused", {"is_paused": True})


def test_a_new_fleet_file_and_another_port_are_followed_by_up_on_the_running_stack(up: Up) -> None:
    kept = {p.name: p.pid for p in running(up)}
    shutil.copy(FLEETS / "turbofan.yaml", up.fleets)
    mlflow = free_port()

    up.up(mlflow=mlflow)

    assert answers(f"http://127.0.0.1:{mlflow}/health")
    airflow = find_airflow(up.home / "airflow")
    assert airflow is not None
    assert {dag for dag in airflow.client.dag_ids() if dag.startswith("turbofan_")} >= {"turbofan_ingest"}
    now = {p.name: p.pid for p in running(up)}
    assert "score-turbofan-0" in now
    assert {name for name in kept if now[name] != kept[name]} == {"mlflow"}, "nothing else is started again"
    pause(airflow, "turbofan_train")
    up.up()
    paused = airflow.client.get("/dags/turbofan_train")["is_paused"]
    others = airflow.client.get("/dags/turbofan_ingest")["is_paused"]
    assert (paused, others) == (True, False), "who pauses a DAG keeps it paused"


def running(up: Up) -> list[ManagedProcess]:
    return [p for p in (find_process(p.name, p.folder) for p in read_plan(folder_of(up.home))) if p]


def test_an_mlflow_that_runs_elsewhere_is_not_started(tmp_path: Path) -> None:
    elsewhere = {"AIMAAS_MLFLOW_TRACKING_URI": "http://mlflow.plant:5000", "AIMAAS_HOME": str(tmp_path)}
    settings = read_settings({**elsewhere, "AIMAAS_JARS": str(read_settings().jars)})

    planned = _planned(settings, [], Ports(free_port(), free_port(), None, free_port()))

    names = {program.name for program in _engines(planned)}
    assert names == {"kafka", "api-server", "scheduler", "dag-processor", "triggerer", "data-docs"}


def test_a_taken_port_is_one_line_and_leaves_the_stack_as_it_is(up: Up) -> None:
    done = up.run("up", "--mlflow-port", str(up.ports["kafka"]))

    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "are both" in done.stderr
    assert up.run("status").returncode == 0
