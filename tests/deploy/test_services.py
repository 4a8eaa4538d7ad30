"""Every command of our own image in docker-compose.yml runs as written, with this machine's addresses and folders."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AclBindingFilter, AclOperation, AclPermissionType, ResourcePatternType, ResourceType

from aimaas.fleet import find_fleet
from aimaas.kafka import admin
from aimaas.kafka.acls import binding
from aimaas.kafka.roles import rights_of
from aimaas.settings import Settings
from aimaas.topics import topic_specs
from deploy.make_secrets import make_secrets
from local.broker import Broker, properties_text, start_broker
from local.ports import free_port
from local.supervision.processes import ManagedProcess, start_process

PROJECT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.broker
EVERY_ACL = AclBindingFilter(
    ResourceType.ANY, None, ResourcePatternType.ANY, None, None, AclOperation.ANY, AclPermissionType.ANY
)


@dataclass
class Machine:
    """Stands in for the containers: their commands run here, once addresses and folders are put in their place."""

    services: dict[str, Any]
    folder: Path
    replaced: dict[str, str]
    secrets: dict[str, str]

    def here(self, text: str) -> str:
        for there, here in self.replaced.items():
            text = text.replace(there, here)
        return text

    def command(self, name: str) -> list[str]:
        written = self.services[name]["command"]
        return [self.here(word) for word in (shlex.split(written) if isinstance(written, str) else written)]

    def environ(self, name: str) -> dict[str, str]:
        written = {k: self.here(v) for k, v in self.services[name]["environment"].items()}
        written |= {
            secret["target"]: self.secrets[secret["source"]] for secret in self.services[name].get("secrets", [])
        }
        # the broker of the tests knows no users
        written = {k: v for k, v in written.items() if not k.startswith(("AIMAAS_KAFKA_SASL", "AIMAAS_KAFKA_SECURITY"))}
        image = {
            "AIMAAS_FLEETS": str(PROJECT / "fleets"),
            "AIMAAS_JARS": str(PROJECT / "jars"),
            "PYTHONPATH": str(PROJECT),  # this tree, also where another is installed
        }
        programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return {**image, "PATH": programs, "SPARK_CONF_DIR": str(PROJECT / "deploy" / "spark"), **written}

    def run(self, name: str) -> subprocess.CompletedProcess[str]:
        """Run a one-shot service to its end."""
        return self._run(self.command(name), name)

    def health(self, name: str) -> subprocess.CompletedProcess[str]:
        """Run a service's health check once."""
        kind, *written = self.services[name]["healthcheck"]["test"]
        assert kind == "CMD"
        written = written[1:] if written[0] == "with-secrets" else written
        return self._run([self.here(word) for word in written], name)

    def _run(self, command: list[str], name: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=PROJECT, env=self.environ(name), capture_output=True, text=True, check=False, timeout=120
        )

    def wait_until_healthy(self, name: str, process: ManagedProcess, limit_s: float = 150) -> None:
        deadline = time.monotonic() + limit_s
        while (asked := self.health(name)).returncode != 0:
            assert process.is_alive(), f"{name} has ended:\n{process.tail(20)}"
            assert time.monotonic() < deadline, f"{name} is not healthy: {asked.stderr}\n{process.tail(20)}"
            time.sleep(0.5)  # a check is a whole Python start


Start = Callable[[str], ManagedProcess]


@pytest.fixture(scope="module")
def broker(jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker with ACLs, as Compose has; who comes here is above them."""
    folder = tmp_path_factory.mktemp("kafka")
    authorizer = (
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\nsuper.users=User:ANONYMOUS\n"
    )
    (folder / "server.properties").write_text(properties_text(folder) + authorizer)
    running = start_broker(folder, jars)
    yield running
    running.process.kill()


@pytest.fixture
def machine(compose: dict[str, Any], broker: Broker, tmp_path: Path) -> Machine:
    tracking = free_port()
    master = free_port()
    # the longer comes before what it begins with
    replaced = {
        "kafka:9092": broker.bootstrap_servers,
        "postgresql+psycopg2://aimaas@postgres:5432/": f"sqlite:///{tmp_path}/database-",
        "http://mlflow:5000": f"http://127.0.0.1:{tracking}",
        "localhost:5000": f"127.0.0.1:{tracking}",
        "spark-master:7077": f"127.0.0.1:{master}",
        "/opt/aimaas": str(PROJECT),
        "/srv/": f"{tmp_path}/",
    }
    make_secrets(tmp_path / "secrets")
    secrets = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    return Machine(compose["services"], tmp_path, replaced, secrets)


@pytest.fixture
def start(machine: Machine) -> Iterator[Start]:
    started: list[ManagedProcess] = []

    def begin(name: str) -> ManagedProcess:
        process = start_process(
            machine.command(name),
            name=name,
            folder=machine.folder / "logs",
            environ=machine.environ(name),
            working_directory=PROJECT,
        )
        started.append(process)
        return process

    yield begin
    for process in reversed(started):
        process.kill()


def put(machine: Machine, name: str, option: str, value: str) -> None:
    """Give a service another value of an option that is only right inside its container."""
    command = machine.command(name)
    command[command.index(option) + 1] = value
    machine.services = {**machine.services, name: {**machine.services[name], "command": command}}


def serve_metrics(machine: Machine, name: str) -> int:
    """Give a scorer a port of this machine, which its health check asks then; the containers have one each."""
    port = free_port()
    put(machine, name, "--metrics-host", "127.0.0.1")
    put(machine, name, "--metrics-port", str(port))
    service = machine.services[name]
    asked = [word.replace("localhost:9100", f"127.0.0.1:{port}") for word in service["healthcheck"]["test"]]
    machine.services = {**machine.services, name: {**service, "healthcheck": {"test": asked}}}
    return port


def test_topics_are_created_with_the_rights_of_outsiders_and_a_second_start_changes_nothing(
    machine: Machine, settings: Settings
) -> None:
    first, second = machine.run("topics-turbofan"), machine.run("topics-turbofan")

    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    client, fleet = admin(settings), find_fleet(settings.fleets, "turbofan")
    assert {spec.name for spec in topic_specs(fleet)} <= set(client.list_topics(timeout=10).topics)
    wanted = {binding("devices", r) for r in rights_of("gateway", fleet)}
    wanted |= {binding("readers", r) for r in rights_of("reader", fleet)}
    limit = time.monotonic() + 30
    while set(client.describe_acls(EVERY_ACL).result(10)) != wanted:  # the broker learns of them from the controller
        assert time.monotonic() < limit
        time.sleep(0.05)


@pytest.mark.long
def test_the_registry_the_announcer_and_the_scorers_become_healthy_and_stop_when_asked(
    machine: Machine, start: Start
) -> None:
    port = machine.replaced["localhost:5000"].rsplit(":", 1)[1]
    put(machine, "mlflow", "--host", "127.0.0.1")
    put(machine, "mlflow", "--port", port)
    put(machine, "mlflow", "--workers", "1")
    mlflow = start("mlflow")
    assert machine.run("topics-turbofan").returncode == 0
    pages = {name: serve_metrics(machine, name) for name in ("scorer-0-turbofan", "scorer-1-turbofan")}
    scorers = {name: start(name) for name in ("scorer-0-turbofan", "scorer-1-turbofan")}
    machine.wait_until_healthy("mlflow", mlflow)
    announcer = start("announcer-turbofan")

    for name, process in {**scorers, "announcer-turbofan": announcer}.items():
        machine.wait_until_healthy(name, process)
    for page in pages.values():
        with urllib.request.urlopen(f"http://127.0.0.1:{page}/metrics", timeout=10) as answer:
            assert b'aimaas_ready{fleet="turbofan"} 0.0' in answer.read()  # no model yet

    for process in (announcer, *scorers.values()):
        process.stop(timeout_s=30)
        assert process.exit_code() in (0, -signal.SIGTERM, 128 + signal.SIGTERM), process.tail(20)


def test_the_http_service_becomes_healthy_and_is_not_ready_without_a_champion(machine: Machine, start: Start) -> None:
    assert machine.run("topics-turbofan").returncode == 0
    port, health = free_port(), free_port()
    for option, value in (
        ("--host", "127.0.0.1"),
        ("--port", port),
        ("--health-host", "127.0.0.1"),
        ("--health-port", health),
    ):
        put(machine, "http-turbofan", option, str(value))
    machine.replaced |= {"localhost:9100": f"127.0.0.1:{health}"}
    service = start("http-turbofan")
    machine.wait_until_healthy("http-turbofan", service)

    with pytest.raises(urllib.error.HTTPError) as unready:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10)
    assert unready.value.code == 503
    with pytest.raises(urllib.error.HTTPError) as keyless:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/predict", b"{}", timeout=10)
    assert keyless.value.code == 401

    service.stop(timeout_s=30)
    assert service.exit_code() in (0, -signal.SIGTERM, 128 + signal.SIGTERM), service.tail(20)


@pytest.mark.spark
def test_a_spark_worker_joins_its_master(machine: Machine, start: Start) -> None:
    master_port, master_page, worker_page = (
        machine.replaced["spark-master:7077"].rsplit(":", 1)[1],
        free_port(),
        free_port(),
    )
    put(machine, "spark-master", "--host", "127.0.0.1")
    put(machine, "spark-master", "--port", master_port)
    put(machine, "spark-master", "--webui-port", str(master_page))
    put(machine, "spark-worker", "--webui-port", str(worker_page))
    machine.replaced |= {"localhost:8080": f"127.0.0.1:{master_page}", "localhost:8081": f"127.0.0.1:{worker_page}"}

    master, worker = start("spark-master"), start("spark-worker")
    machine.wait_until_healthy("spark-master", master)
    machine.wait_until_healthy("spark-worker", worker)

    deadline = time.monotonic() + 60
    while not alive_workers(f"http://127.0.0.1:{master_page}/json/"):
        assert time.monotonic() < deadline, worker.tail(20)
        time.sleep(0.2)


def alive_workers(page: str) -> int:
    with urllib.request.urlopen(page, timeout=10) as answer:  # noqa: S310 - a page of this machine
        found: int = json.load(answer)["aliveworkers"]
        return found


@pytest.mark.airflow
def test_airflow_is_prepared_with_a_login_that_only_it_can_read(machine: Machine) -> None:
    (machine.folder / "airflow").mkdir()

    done = machine.run("airflow-init")

    assert done.returncode == 0, done.stdout + done.stderr
    passwords = machine.folder / "airflow" / "passwords.json"
    assert json.loads(passwords.read_text()) == {"admin": machine.secrets["airflow_admin_password"]}
    assert passwords.stat().st_mode & 0o077 == 0
