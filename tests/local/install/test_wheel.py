"""An installed package has each file of the rooms, and no test."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[3]
# the folder that holds each top-level package
ROOMS = {
    **dict.fromkeys(("aimaas", "cli", "expectations", "local", "models", "spark_jobs", "stream", "upkeep"), PROJECT),
    "fleet_dags": PROJECT / "dags",
}
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"


def test_a_wheel_holds_each_file_of_the_rooms_and_nothing_else(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, project)
    leave_out = shutil.ignore_patterns("__pycache__")
    for name, parent in ROOMS.items():
        folder = parent.relative_to(PROJECT) / name
        shutil.copytree(PROJECT / folder, project / folder, ignore=leave_out)
    (project / "tests").mkdir()
    (project / "tests" / "__init__.py").touch()

    subprocess.run([sys.executable, "-c", BUILD, str(tmp_path)], cwd=project, check=True, capture_output=True)

    with zipfile.ZipFile(next(tmp_path.glob("aimaas-*.whl"))) as wheel:
        packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    sources = {
        path.relative_to(parent).as_posix()
        for name, parent in ROOMS.items()
        for path in (parent / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert sources == packed
