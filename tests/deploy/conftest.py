"""docker-compose.yml as a real Compose parser reads it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).resolve().parents[2]
COMPOSE_FILES = ("docker-compose.yml", "docker-compose.fleets.yml")


def compose_command() -> list[str]:
    """`docker compose` where Docker has it, else Debian's `docker-compose`."""
    if shutil.which("docker"):
        asked = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
        if asked.returncode == 0:
            return ["docker", "compose"]
    if not shutil.which("docker-compose"):
        pytest.skip("no Compose parser here: `docker compose`, or `apt-get install docker-compose` (.ci/run does that)")
    return ["docker-compose"]


def compose_config(folder: Path, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Parse the project's files with an environment file of these variables only."""
    environment = folder / "test.env"
    environment.write_text("".join(f"{k}={v}\n" for k, v in variables.items()))
    files = [part for file in COMPOSE_FILES for part in ("--file", str(PROJECT / file))]
    return subprocess.run(
        [*compose_command(), "--env-file", str(environment), *files, "config"],
        capture_output=True,
        text=True,
        check=False,
        cwd=PROJECT,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(folder)},
    )


@pytest.fixture
def parse_compose(tmp_path: Path) -> Callable[[dict[str, str]], subprocess.CompletedProcess[str]]:
    """Parse the file with these variables and no others."""
    return lambda variables: compose_config(tmp_path, variables)


@pytest.fixture(scope="session")
def compose(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The parsed file, with every variable of .env.example filled in."""
    example = (PROJECT / ".env.example").read_text()
    variables = {
        name: value or f"given{name.replace('_', '')}" for name, value in re.findall(r"(?m)^([A-Z_]+)=(.*)$", example)
    }
    done = compose_config(tmp_path_factory.mktemp("compose"), variables)
    assert done.returncode == 0, done.stderr
    parsed: dict[str, Any] = yaml.safe_load(done.stdout)
    return parsed
