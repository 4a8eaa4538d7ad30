"""A registry that is gone is told in one line within seconds, by every command that needs it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from aimaas.errors import RegistryError
from aimaas.registry.mlflow_reach import check_reachable, shown

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 15.0


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1:1", "https://127.0.0.1:1/x", "postgresql+psycopg2://u:s3cret@127.0.0.1:1/db"]
)
def test_a_server_that_is_not_there_is_told_at_once_without_its_password(uri: str) -> None:
    with pytest.raises(RegistryError, match=r"does not answer: .*; start it, or check AIMAAS_MLFLOW_TRACKING_URI") as e:
        check_reachable(uri)
    assert "s3cret" not in str(e.value)


def test_a_server_that_hangs_is_told_within_seconds(silent: int) -> None:
    began = time.monotonic()
    with pytest.raises(RegistryError, match="timed out"):
        check_reachable(f"http://127.0.0.1:{silent}")
    assert time.monotonic() - began < LIMIT_S


def test_files_need_no_server_and_addresses_are_shown_without_passwords() -> None:
    check_reachable("sqlite:////tmp/x.db")
    check_reachable("mlruns")
    assert shown("postgresql://u:s3cret@h:5432/db") == "postgresql://u:…@h:5432/db"
    assert shown("http://h:5000") == "http://h:5000"


@pytest.mark.parametrize("command", [["list"], ["show", "1"], ["promote", "1"], ["rollback"], ["announce"]])
def test_every_command_says_it_in_one_line(command: list[str], tmp_path: Path) -> None:
    environ = {**os.environ, "AIMAAS_HOME": str(tmp_path), "AIMAAS_MLFLOW_TRACKING_URI": "http://127.0.0.1:1"}
    done = subprocess.run(
        [sys.executable, "-m", "cli", "models", *command, "--fleet", "mill"],
        env={**environ, "AIMAAS_FLEETS": str(ROOT / "fleets")}, capture_output=True, text=True, cwd=ROOT, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("error: the registry at http://127.0.0.1:1 does not answer: ")
    assert len(done.stderr.strip().splitlines()) == 1
