"""Packages of npm for tests, installed by a lock file; a test that needs them is skipped where they cannot be had."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

_OFFLINE = re.compile(r"ENOTFOUND|ECONNREFUSED|ETIMEDOUT|EAI_AGAIN|ENOTCACHED|ERR_SOCKET_TIMEOUT")


def npm_ci(source: Path, folder: Path) -> None:
    """Install what `<source>/package-lock.json` names below `folder`, without running scripts of packages."""
    if shutil.which("npm") is None:
        pytest.skip("there is no npm on this machine")
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(source / name, folder / name)
    command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline", "--fetch-retries=0"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0 and _OFFLINE.search(done.stderr):
        pytest.skip(f"npm does not reach the packages: {done.stderr.strip().splitlines()[0]}")
    assert done.returncode == 0, done.stderr
