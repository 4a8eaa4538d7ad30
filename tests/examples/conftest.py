"""The packages of the JavaScript example, installed once into its own folder, which git ignores."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from filelock import FileLock

EXAMPLES = Path(__file__).parents[2] / "examples" / "consumers"
_NO_WAY = re.compile(r"ENOTFOUND|ECONNREFUSED|ETIMEDOUT|EAI_AGAIN|ENOTCACHED|not found: make|gyp ERR!")


@pytest.fixture(scope="session")
def javascript() -> Path:
    """The example's folder with its packages; skips where node, npm, a package or a compiler cannot be had.

    The client is librdkafka with a binding: its package fetches a built one, or builds it in some minutes.
    """
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("no node and npm on this machine")
    folder = EXAMPLES / "javascript"
    with FileLock(folder / ".npm.lock"):
        if not _works(folder):
            _install(folder)
    return folder


def _works(folder: Path) -> bool:
    client = "require('@confluentinc/kafka-javascript').KafkaJS"
    return subprocess.run(["node", "-e", client], cwd=folder, capture_output=True, check=False).returncode == 0


def _install(folder: Path) -> None:
    headers = (
        {"npm_config_nodedir": "/usr"} if Path("/usr/include/node").is_dir() else {}
    )  # Debian's, as long as they are there
    command = ["npm", "ci", "--no-audit", "--no-fund", "--prefer-offline", "--fetch-retries=0"]
    done = subprocess.run(
        command, cwd=folder, env=os.environ | headers, capture_output=True, text=True, timeout=1_500, check=False
    )
    if done.returncode != 0 and (found := _NO_WAY.search(done.stderr)):
        pytest.skip(f"the client's package can neither be fetched nor be built here: {found[0]}")
    assert done.returncode == 0, done.stderr
