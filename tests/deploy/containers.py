"""The Compose stack of this project on a real Docker engine, under a name, with ports and secrets of its own."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.make_secrets import make_secrets
from local.ports import free_port
from tests.deploy.conftest import COMPOSE_FILES, compose_command
from tests.deploy.stand_ins import NO_STAND_IN, STAND_INS, base_image, overrides

PROJECT = Path(__file__).resolve().parents[2]
PORTS = (
    "KAFKA_PORT", "AIRFLOW_PORT", "DATA_DOCS_PORT", "HTTP_PORT_MILL", "HTTP_PORT_TURBOFAN", "PROMETHEUS_PORT", "GRAFANA_PORT",
)  # fmt: skip


@dataclass(frozen=True)
class Stack:
    """`ports` are those on this machine by their variable; `environ` is what Docker's commands are run in."""

    name: str
    folder: Path
    ports: Mapping[str, int]
    environ: Mapping[str, str]
    services: tuple[str, ...]
    overrides: tuple[str, ...]

    def compose(self, *arguments: str, limit_s: float = 900) -> str:
        """Run `docker compose` on the stack; what it printed."""
        files = [part for file in (*COMPOSE_FILES, *self.overrides) for part in ("--file", file)]
        given = ["--env-file", str(self.folder / "stack.env"), "--project-name", self.name, *files]
        return run([*compose_command(), *given, *arguments], self.environ, limit_s)

    def up(self) -> None:
        """Start all services that can be had here."""
        self.compose("up", "--detach", *self.services)

    def within(self, service: str, *command: str, limit_s: float = 300) -> str:
        """Run a command in a service's container, with its secrets; what it printed."""
        return self.compose("exec", "-T", service, "with-secrets", *command, limit_s=limit_s)

    def containers(self) -> dict[str, list[dict[str, Any]]]:
        """What Docker says of the containers, by service."""
        ids = run(
            ["docker", "ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={self.name}"],
            self.environ,
        )
        found: dict[str, list[dict[str, Any]]] = {}
        if ids.split():
            for one in self._inspected(ids.split()):
                found.setdefault(one["Config"]["Labels"]["com.docker.compose.service"], []).append(one)
        return found

    def _inspected(self, ids: list[str]) -> list[dict[str, Any]]:
        """What Docker says of those of these that are still there: Compose removes the container of a service that has run."""
        command = ["docker", "inspect", *ids]
        done = subprocess.run(command, env=dict(self.environ), capture_output=True, text=True, check=False, timeout=120)
        told = [line for line in done.stderr.splitlines() if "No such object" not in line]
        assert not told, told
        inspected: list[dict[str, Any]] = json.loads(done.stdout)
        return inspected

    def ill(self) -> dict[str, str]:
        """The services that are not as they must be: healthy, or ended well where they run once; what is wrong."""
        found = self.containers()
        wrong = {name: "no container" for name in self.services if name not in found}
        for name, containers in found.items():
            for state in (one["State"] for one in containers):
                health = state.get("Health", {}).get("Status")
                if health is None and (state["Status"], state["ExitCode"]) != ("exited", 0):
                    wrong[name] = f"{state['Status']}, exit code {state['ExitCode']}"
                elif health not in (None, "healthy"):
                    wrong[name] = str(health)
        return wrong

    def wait_until_healthy(self, limit_s: float = 900) -> None:
        """Wait for all of it; says what was wrong where it does not come."""
        wait_until(
            lambda: not self.ill(), limit_s, lambda: f"{self.ill()}\n{self.compose('logs', '--tail', '8', *self.ill())}"
        )


def run(command: list[str], environ: Mapping[str, str], limit_s: float = 900) -> str:
    """Run a command; what it printed. Raises AssertionError with what it said where it failed."""
    done = subprocess.run(
        command, cwd=PROJECT, env=dict(environ), capture_output=True, text=True, check=False, timeout=limit_s
    )
    assert done.returncode == 0, (
        f"{' '.join(command)}: exit code {done.returncode}\n{(done.stdout + done.stderr)[-6000:]}"
    )
    return done.stdout


def wait_until(happened: Callable[[], bool], limit_s: float, told: Callable[[], str] = lambda: "") -> None:
    """Ask every other second until it has happened."""
    deadline = time.monotonic() + limit_s
    while not happened():
        assert time.monotonic() < deadline, f"it did not happen within {limit_s:g} s: {told()}"
        time.sleep(2)  # each question starts a program


def make_stack(name: str, folder: Path, environ: Mapping[str, str]) -> Stack:
    """Secrets, ports and the image, built from the project as it is; nothing is started yet."""
    make_secrets(folder / "secrets")
    (folder / "secrets").chmod(0o711)
    ports = {variable: free_port() for variable in PORTS}
    given = {
        "SECRETS": str(folder / "secrets"),
        "KAFKA_CLUSTER_ID": "4L6g3nShT-eMCtK--X86sw",
        **{k: str(v) for k, v in ports.items()},
    }
    stood_in = STAND_INS in environ
    if stood_in:
        given["TEST_POSTGRES_PASSWORD"] = (folder / "secrets" / "postgres_password").read_text()
    (folder / "stack.env").write_text("".join(f"{key}={value}\n" for key, value in given.items()))
    stack = Stack(name, folder, ports, environ, (), overrides(folder) if stood_in else ())
    here = ["--network", "host", "--build-arg", f"PYTHON_IMAGE={base_image()}"] if stood_in else []
    run(["docker", "build", *here, "--file", "deploy/Dockerfile", "--tag", "aimaas", "."], environ, limit_s=3_600)
    services = [s for s in stack.compose("config", "--services").split() if not (stood_in and s in NO_STAND_IN)]
    return Stack(name, folder, ports, environ, tuple(services), stack.overrides)
