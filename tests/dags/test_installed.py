"""The DAGs work from an installed package: a DAG file of three lines and the fleet files in a repository of one's own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from aimaas.fleet import find_fleet
from tests.dags.installed import PROJECT, borrow_packages, done, environment, wheel

pytestmark = pytest.mark.airflow
STAGES = ("ingest", "maintenance", "prepare", "rebuild", "train")


def documented(name: str) -> str:
    """A file as `docs/how-to/use-your-own-airflow.md` shows it."""
    page = (PROJECT / "docs" / "how-to" / "use-your-own-airflow.md").read_text()
    found = re.search(rf"```python\n# {re.escape(name)}.*?\n(.*?)```", page, re.DOTALL)
    assert found, f"docs/how-to/use-your-own-airflow.md shows no {name}"
    return found[0].removeprefix("```python\n").removesuffix("```")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one fleet and the documented DAG files."""
    root = tmp_path / "plant"
    (root / "fleets").mkdir(parents=True)
    (root / "dags").mkdir()
    text = (PROJECT / "fleets" / "mill.yaml").read_text()
    (root / "fleets" / "press.yaml").write_text(re.sub(r"(?m)^fleet: mill", "fleet: press", text))
    for name in ("dags/fleets.py", "dags/fleet_file_errors.py"):
        (root / name).write_text(documented(name))
    return root


def read(
    python: Path, repository: Path, tmp_path: Path, program: str, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run a program of the environment as Airflow does: from elsewhere, with Airflow's and aimaas's settings."""
    plain = {
        name: value for name, value in os.environ.items() if not name.startswith(("AIMAAS_", "AIRFLOW", "PYTHONPATH"))
    }
    given = {
        "AIRFLOW_HOME": str(tmp_path / "airflow"), "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(repository / "dags"), "AIMAAS_FLEETS": str(repository / "fleets"),
        "AIMAAS_HOME": str(tmp_path / "home"),
    }  # fmt: skip
    command = [str(python), program, *arguments]
    return subprocess.run(command, env=plain | given, cwd="/", capture_output=True, text=True, timeout=600, check=False)


def as_the_dag_processor(python: Path, repository: Path, tmp_path: Path) -> Any:
    program = str(PROJECT / "tests" / "dags" / "parse_dags.py")
    ran = read(python, repository, tmp_path, program, str(repository / "dags"))
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


def works(python: Path, repository: Path, tmp_path: Path) -> None:
    """Read the DAGs, find the jobs that their tasks submit, break a fleet file, and add a fleet."""
    where = done(str(python), "-c", "import fleet_dags.spark as s; print(s.job_file('land'))").strip()
    assert Path(where).is_relative_to(python.parents[1]), (
        "the job of the installed package, not of the project's folder"
    )
    helped = read(python, repository, tmp_path, where, "--help")
    assert (helped.returncode, "--fleet" in helped.stdout) == (0, True), helped.stderr
    found = as_the_dag_processor(python, repository, tmp_path)
    assert (sorted(found["dags"]), found["errors"]) == ([f"press_{stage}" for stage in STAGES], {})
    assert found["dags"]["press_ingest"]["tasks"] == {
        "land": ["admit"],
        "admit": ["check_silver"],
        "check_silver": ["pass_on_outcomes", "published"],
        "pass_on_outcomes": [],
        "published": [],
    }
    assert all(dag["same_twice"] for dag in found["dags"].values())

    (repository / "fleets" / "broken.yaml").write_text("fleet: broken\nversion: one\n")
    found = as_the_dag_processor(python, repository, tmp_path)
    assert sorted(found["dags"]) == [f"press_{stage}" for stage in STAGES]
    assert [Path(file).name for file in found["errors"]] == ["fleet_file_errors.py"]
    assert "broken.yaml" in next(iter(found["errors"].values()))

    (repository / "fleets" / "broken.yaml").unlink()
    shutil.copy(PROJECT / "fleets" / "turbofan.yaml", repository / "fleets")
    found = as_the_dag_processor(python, repository, tmp_path)
    assert sorted(found["dags"]) == [f"{fleet}_{stage}" for fleet in ("press", "turbofan") for stage in STAGES]


def test_the_wheel_in_an_environment_of_its_own_gives_the_dags_of_ones_own_fleets(
    repository: Path, tmp_path: Path
) -> None:
    python = environment(tmp_path / "fresh")
    done(str(python), "-m", "pip", "install", "-q", "--no-deps", "--no-index", str(wheel(tmp_path / "built")))
    borrow_packages(python)

    assert find_fleet(repository / "fleets", "press").fleet == "press"
    works(python, repository, tmp_path)
    ivy = "import local.install.jars; print(local.install.jars.IVY_FILE.is_file())"
    assert done(str(python), "-c", ivy).strip() == "True"


@pytest.mark.long
@pytest.mark.timeout(1_800)
def test_pip_installs_it_with_all_it_needs(repository: Path, tmp_path: Path) -> None:
    python = environment(tmp_path / "fresh")
    locked = tmp_path / "constraints.txt"
    lines = (PROJECT / "requirements" / "run.lock").read_text().splitlines()
    locked.write_text("\n".join(line.removesuffix(" \\") for line in lines if re.match(r"[a-z0-9]", line)) + "\n")
    built = str(wheel(tmp_path / "built"))
    command = [str(python), "-m", "pip", "install", "-q", "--retries", "1", "-c", str(locked), built]
    ran = subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=1_500, check=False)
    if ran.returncode != 0 and re.search(r"Failed to establish|Name or service|No matching distribution", ran.stderr):
        pytest.skip(f"pip does not reach the packages: {ran.stderr.strip().splitlines()[-1]}")
    assert ran.returncode == 0, ran.stderr

    works(python, repository, tmp_path)
