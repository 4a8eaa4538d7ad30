"""Checks the requirements of `make setup`. Runs on a bare Python 3.11 or 3.12, without packages.

`python3 -m local.install.preflight` prints one line for each missing requirement and exits with 1, or prints nothing.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from local.install.java import installed_version

OLDEST, NEWEST = (3, 11), (3, 12)
NEEDED_DISK_MB = 5000


@dataclass(frozen=True)
class Check:
    """One requirement: whether the machine meets it, what was found, and what to do if it does not."""

    name: str
    ok: bool
    found: str
    advice: str

    def __str__(self) -> str:
        """Return the line that a person reads."""
        return f"{self.name}: {self.found}" + ("" if self.ok else f"; {self.advice}")


def python_check(version: tuple[int, int]) -> Check:
    """Check the version of the interpreter that creates the environment."""
    return Check(
        "python",
        OLDEST <= version <= NEWEST,
        f"{version[0]}.{version[1]}",
        "Python 3.11 or 3.12 is needed: run `make setup PYTHON=python3.11`",
    )


def venv_check(*, has_venv: bool) -> Check:
    """Check whether the interpreter can create environments (Debian has a separate package for it)."""
    found = "present" if has_venv else "missing in this Python"
    return Check("venv", has_venv, found, "install it (Debian, Ubuntu: apt-get install python3-venv)")


def java_check(major: int | None) -> Check:
    """Check the Java on the PATH by its major version; None means no Java."""
    found = "none on the PATH" if major is None else f"version {major}"
    ok = major is not None and major >= 17
    return Check("java", ok, found, "install a JDK or full JRE, version 17 or newer, and put it first on the PATH")


def disk_check(free_bytes: int, folder: Path, needed_mb: int) -> Check:
    """Check the free space on the disk of `folder`."""
    free_mb = free_bytes // 1024**2
    return Check(
        "disk", free_mb >= needed_mb, f"{free_mb} MB free at {folder}", f"{needed_mb} MB are needed: free disk space"
    )


def main() -> None:
    """Check this machine for `make setup`."""
    here = Path.cwd()
    # an existing environment needs little more
    needed_mb = 500 if (here / ".venv" / ".packages").exists() else NEEDED_DISK_MB
    checks = [
        python_check(sys.version_info[:2]),
        venv_check(has_venv=all(importlib.util.find_spec(name) for name in ("venv", "ensurepip"))),
        java_check(installed_version()),
        disk_check(shutil.disk_usage(here).free, here, needed_mb),
    ]
    missing = [f"error: {check}" for check in checks if not check.ok]
    if missing:
        sys.exit("\n".join(missing))


if __name__ == "__main__":
    main()
