"""The project installed into a fresh environment from a wheel, as for an Airflow and a repository of one's own."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


def wheel(folder: Path) -> Path:
    """Build the wheel out of a copy of what git tracks."""
    source = folder / "source"
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        if not name.startswith("tests/") and (PROJECT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, source / name)
    done(
        sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder), str(source)
    )
    (found,) = folder.glob("aimaas-*.whl")
    return found


def environment(folder: Path) -> Path:
    """A fresh virtual environment; its Python."""
    done(sys.executable, "-m", "venv", str(folder))
    return folder / "bin" / "python"


def borrow_packages(python: Path) -> None:
    """Let an environment import the packages of the one that runs, but not the project, which is there by an editable install."""
    (site,) = python.parents[1].glob("lib/python*/site-packages")
    (site / "borrowed.pth").write_text(f"{sysconfig.get_paths()['purelib']}\n")


def done(*command: str) -> str:
    """Run a program that must succeed, away from the project; what it printed."""
    ran = subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=1_500, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout
