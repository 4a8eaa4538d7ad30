"""A real Airflow home for the DAG tests: Airflow reads its settings at import, so each test of it runs in a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aimaas.settings import Settings
from local.airflow.environment import SPARK_FOLDER, process_environment
from local.airflow.spark_settings import write_spark_submit

PROJECT = Path(__file__).resolve().parents[2]
DAGS = PROJECT / "dags"
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def airflow_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with Airflow's database in it."""
    home = tmp_path_factory.mktemp("airflow")
    environment = {**os.environ, "AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], env=environment, check=True, capture_output=True)
    return home


@pytest.fixture
def in_airflow(airflow_home: Path) -> Run:
    """Call with settings and a program's arguments: runs it as a task of the stack would run."""

    def run(
        settings: Settings, *arguments: str, dags: Path = DAGS, hash_seed: str = "0"
    ) -> subprocess.CompletedProcess[str]:
        environment = process_environment(settings, airflow_home, dags, 1, {**os.environ, "PYTHONHASHSEED": hash_seed})
        write_spark_submit(airflow_home / SPARK_FOLDER, settings)
        return subprocess.run(
            [sys.executable, *arguments],
            env=environment,
            cwd=airflow_home,
            capture_output=True,
            text=True,
            check=False,
            timeout=1_500,
        )

    return run


@pytest.fixture
def parsed(in_airflow: Run) -> Callable[..., Any]:
    """Call with settings: what the DAG processor would see, and which modules reading it loaded."""

    def parse(settings: Settings, hash_seed: str = "0") -> Any:
        program = str(PROJECT / "tests" / "dags" / "parse_dags.py")
        done = in_airflow(settings, program, str(DAGS), hash_seed=hash_seed)
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(done.stdout.splitlines()[-1])

    return parse
