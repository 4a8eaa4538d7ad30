"""docker-compose.yml on a real engine: devices to a champion trained on the cluster, and predictions by it (`make test-compose`).

The tests go on from one another, in the order of the file.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from tests.deploy.containers import PROJECT, Stack, make_stack, wait_until
from tests.deploy.stand_ins import engine
from tests.secured.attempts import refused_read, refused_write

pytestmark = pytest.mark.timeout(5_400)
FLEET, DEVICES = "mill", 60
SENT: list[int] = []  # events, of each sending


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack, started; it is taken down with its volumes at the end."""
    made = make_stack("aimaastest", tmp_path_factory.mktemp("compose"), engine())
    try:
        made.up()
        yield made
    finally:
        made.compose("down", "--volumes", "--timeout", "20")


def outside(stack: Stack, user: str = "devices") -> dict[str, str]:
    """Settings of a client outside of the containers, with its user's password."""
    password = (stack.folder / "secrets" / f"kafka_{user}_password").read_text()
    return {
        "bootstrap.servers": f"localhost:{stack.ports['KAFKA_PORT']}",
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.username": user,
        "sasl.password": password,
    }


def send(stack: Stack, first: int, devices: int = DEVICES) -> None:
    """Simulated devices send their lives through the port of the host."""
    given = {f"AIMAAS_KAFKA_{k.upper().replace('.', '_')}": v for k, v in outside(stack).items()}
    command = [
        sys.executable,
        "-m",
        "cli",
        "devices",
        "--fleet",
        FLEET,
        "-n",
        str(devices),
        "--first",
        str(first),
    ]
    done = subprocess.run(
        command, cwd=PROJECT, env={**os.environ, **given, "AIMAAS_HOME": str(stack.folder), "PYTHONPATH": str(PROJECT)},
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    SENT.append(int(done.stdout.split()[1]))


def wait_for_answers(stack: Stack) -> None:
    """Wait until each event that was sent has one answer."""
    wait_until(lambda: answers(stack) >= sum(SENT), 600, lambda: f"{answers(stack)} answers of {sum(SENT)}")
    assert answers(stack) == sum(SENT)


def answers(stack: Stack) -> int:
    """Predictions and dead letters on the topics, as committed; counted by our own user, because devices may not read them."""
    program = f"""
from aimaas.kafka import read_all
from aimaas.settings import read_settings
settings = read_settings()
print(sum(len(read_all(settings, topic)) for topic in ("iot.{FLEET}.predictions", "iot.{FLEET}.events.dlq")))
"""
    return int(stack.within("airflow-scheduler", "python", "-c", program).splitlines()[-1])


def models(stack: Stack) -> list[dict[str, Any]]:
    """The registered versions, newest first."""
    program = f"""
import json
from aimaas.fleet import find_fleet
from aimaas.registry.versions import list_models, show_model
from aimaas.settings import read_settings
settings = read_settings()
fleet = find_fleet(settings.fleets, {FLEET!r})
print(json.dumps([show_model(settings, fleet, model.version) for model in list_models(settings, fleet)]))
"""
    found: list[dict[str, Any]] = json.loads(
        stack.within("airflow-scheduler", "python", "-c", program).splitlines()[-1]
    )
    return found


def champion(stack: Stack) -> dict[str, Any] | None:
    return next((model for model in models(stack) if "champion" in model["aliases"]), None)


def assert_nothing_lost(stack: Stack) -> dict[str, Any]:
    """`aimaas reconcile` once the lake has taken up what was sent."""

    def whole() -> bool:
        try:
            stack.within("airflow-scheduler", "aimaas", "reconcile", "--fleet", FLEET)
        except AssertionError as e:
            said.append(str(e))
            return False
        return True

    said: list[str] = []
    wait_until(whole, 900, lambda: said[-1])
    found: dict[str, Any] = json.loads(
        stack.within("airflow-scheduler", "aimaas", "reconcile", "--fleet", FLEET, "--json")
    )
    return found


def test_every_service_becomes_healthy(stack: Stack) -> None:
    stack.wait_until_healthy()
    for fleet in (path.stem for path in (PROJECT / "fleets").glob("*.yaml")):
        assert {
            f"scorer-0-{fleet}",
            f"scorer-1-{fleet}",
            f"announcer-{fleet}",
            f"http-{fleet}",
        } <= stack.containers().keys()


def test_devices_lead_to_a_champion_that_the_cluster_trained_and_to_predictions_by_it(stack: Stack) -> None:
    send(stack, 0)
    wait_until(
        lambda: champion(stack) is not None, 2_400, lambda: stack.compose("logs", "--tail", "60", "airflow-scheduler")
    )
    served = champion(stack)
    assert served is not None
    print(json.dumps({k: served[k] for k in ("version", "candidate", "error", "error_on_test", "training_set")}))  # noqa: T201
    print(json.dumps(served["metrics"]))  # noqa: T201
    assert served["training_set"].startswith(f"lake:{FLEET}/training/")
    wait_for_answers(stack)
    assert predicted_over_http(stack)["model_version"] == served["version"]


def predicted_over_http(stack: Stack) -> dict[str, Any]:
    page = f"http://localhost:{stack.ports[f'HTTP_PORT_{FLEET.upper()}']}"
    with urllib.request.urlopen(f"{page}/openapi.json", timeout=30) as told:  # noqa: S310 - a page of this machine
        examples = json.load(told)["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"][
            "examples"
        ]
    key = (stack.folder / "secrets" / "http_api_key").read_text()
    body = json.dumps(examples["events"]["value"]).encode()
    asked = urllib.request.Request(f"{page}/predict", body, {"X-API-Key": key})  # noqa: S310 - a page of this machine
    with urllib.request.urlopen(asked, timeout=30) as told:  # noqa: S310 - a page of this machine
        found: dict[str, Any] = json.load(told)
    return found


def test_who_comes_from_outside_may_do_what_its_role_needs_and_no_more(stack: Stack) -> None:
    topics = {name: f"iot.{FLEET}.{name}" for name in ("events", "predictions", "models", "commands")}
    devices, readers = outside(stack), outside(stack, "readers")
    assert not refused_read(readers, topics["predictions"])
    assert refused_read(devices, topics["predictions"])
    assert refused_read(readers, topics["events"])
    for name in ("predictions", "models", "commands"):
        assert refused_write(devices, topics[name]), name
    for topic in topics.values():
        assert refused_write(readers, topic), topic


@pytest.mark.parametrize(
    ("service", "first"), [("scorer-0-mill", 1_000), ("airflow-scheduler", 1_100), ("spark-worker", 1_200)]
)
def test_a_container_whose_processes_are_killed_is_replaced(stack: Stack, service: str, first: int) -> None:
    before = sum(one["RestartCount"] for one in stack.containers()[service])
    # Docker takes `docker kill` for the wish of a person, so the processes are killed from within; the shell may go with them
    with suppress(AssertionError):
        stack.compose("exec", "-T", service, "sh", "-c", "kill -9 -1")
    send(stack, first, 5)
    wait_until(lambda: sum(one["RestartCount"] for one in stack.containers()[service]) > before, 120)
    stack.wait_until_healthy()


def test_all_that_was_sent_is_answered_once_and_accounted_for(stack: Stack) -> None:
    wait_for_answers(stack)
    print(json.dumps(assert_nothing_lost(stack)))  # noqa: T201


def test_the_stack_taken_down_and_up_again_has_all_its_data(stack: Stack) -> None:
    before = champion(stack)
    stack.compose("down", "--timeout", "30")
    assert stack.containers() == {}
    stack.up()
    stack.wait_until_healthy()
    after = champion(stack)
    assert before is not None and after is not None
    assert (after["sha256"], after["version"]) == (before["sha256"], before["version"])
    send(stack, 2_000, 5)
    wait_for_answers(stack)
    assert predicted_over_http(stack)["model_version"] == after["version"]
    assert_nothing_lost(stack)
