"""Broker, scorer, MLflow and Data Docs under the supervisor: each is killed in turn under load, and nothing is lost or doubled.

All of `aimaas up`, Airflow included: test_up.py.
"""

from __future__ import annotations

import os
import signal
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec
import pytest

from aimaas.events import Prediction
from aimaas.kafka import read_all
from aimaas.settings import Settings
from local.broker import broker_program, serves
from local.demo.tap import Tap
from local.demo.traffic import DemoPlan, LiveFeed, live_histories
from local.pages import data_docs_program, mlflow_program
from local.ports import free_port
from local.processes import find_process
from local.programs import Program, write_plan
from local.stack import prepare_own_registry, scorer_program, stop_stack
from local.supervisor import find_supervisor, folder_of, start_supervisor
from tests.local.test_supervisor import awaited
from tests.stream.conftest import open_line

pytestmark = [pytest.mark.broker, pytest.mark.long, pytest.mark.timeout(1800)]
LIMIT_S = 600.0


@pytest.fixture
def stack(offline_settings: Settings, tmp_path: Path) -> Iterator[Settings]:
    """Settings of a stack that the test plans; ended with all that runs for it."""
    kafka = {"bootstrap.servers": f"127.0.0.1:{free_port()}"}
    yield replace(offline_settings, kafka=kafka, fleets=tmp_path)
    stop_stack(offline_settings)


def answers(port: int | None, path: str = "/") -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as found:
            return bool(found.read())
    except OSError:
        return False


def kill(program: Program) -> tuple[float, int]:
    """SIGKILL its process; when that was, in Unix seconds, and which it was."""
    process = find_process(program.name, program.folder)
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    return time.time(), process.pid


def is_another(program: Program, pid: int) -> bool:
    """Whether a new process runs: what a killed one left behind may answer for a moment."""
    process = find_process(program.name, program.folder)
    return process is not None and process.pid != pid


def kill_supervisor(settings: Settings) -> None:
    supervisor = find_supervisor(settings.home)
    assert supervisor is not None
    os.kill(supervisor.pid, signal.SIGKILL)
    awaited(lambda: find_supervisor(settings.home) is None)


def engines(settings: Settings, jars: Path) -> list[Program]:
    prepare_own_registry(settings)
    return [
        broker_program(settings.home / "kafka", jars, int(settings.bootstrap_servers.rpartition(":")[2])),
        mlflow_program(settings, free_port(), os.environ),
        data_docs_program(settings, free_port()),
    ]


def test_each_engine_that_is_killed_under_load_serves_again_and_each_event_is_predicted_once(
    stack: Settings, jars: Path, tmp_path: Path
) -> None:
    kafka, mlflow, docs = shared = engines(stack, jars)
    write_plan(folder_of(stack.home), shared)
    start_supervisor(stack.home)
    awaited(lambda: serves(stack.kafka), LIMIT_S)
    with open_line(stack, tmp_path, "supervised") as line:
        line.champion()
        scorer = scorer_program(stack, line.fleet.fleet, os.environ)
        write_plan(folder_of(stack.home), [*shared, scorer])
        tap = Tap(stack, line.names.predictions)
        tap.start()
        feed = LiveFeed(stack, line.fleet, live_histories(line.fleet, DemoPlan()), rate=20)
        feed.start()

        def predicts(at: float) -> bool:
            return any(seen.sent_at > at for seen in tap.seen[-200:])

        awaited(lambda: predicts(0), LIMIT_S)
        checks: list[tuple[Program, Callable[[float], bool]]] = [
            (kafka, predicts),
            (scorer, predicts),
            (mlflow, lambda _: answers(mlflow.port, "/health")),
            (docs, lambda _: answers(docs.port)),
        ]
        awaited(lambda: all(answers(p.port, path) for p, path in ((mlflow, "/health"), (docs, "/"))), LIMIT_S)
        for program, serving in checks:
            at, pid = kill(program)
            awaited(partial(is_another, program, pid), LIMIT_S)
            awaited(partial(serving, at), LIMIT_S)
            print(f"{program.name} serves again after {time.time() - at:.1f} s", flush=True)  # noqa: T201
        kill_supervisor(stack)
        at, _ = kill(scorer)
        start_supervisor(stack.home)
        awaited(lambda: predicts(at), LIMIT_S)

        sent = feed.finish()
        awaited(lambda: {seen.event for seen in tap.seen} >= sent.truth.keys(), LIMIT_S)
        tap.stop()
        # the tap begins anew where its group forgot it while the broker was away: the topic is what counts
        decode = msgspec.json.Decoder(Prediction).decode
        written = [decode(record.value or b"") for record in read_all(stack, line.names.predictions)]
        assert Counter((p.device_id, p.run, p.seq) for p in written) == Counter(sent.truth.keys())
