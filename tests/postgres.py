"""A real Postgres for tests, in a folder that goes away with it; a test that needs it is skipped where there is none."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from local.ports import free_port

_NAME = "postgres"


@contextmanager
def postgres() -> Iterator[str]:
    """Start a server and yield SQLAlchemy's URL of its database. Skips where it cannot be had.

    Postgres does not run as root: there it runs as the user of Debian's package, who cannot look into pytest's own folders.
    """
    pytest.importorskip("psycopg2", reason="the driver of Postgres is not installed")
    programs, port = _programs(), free_port()
    user = _NAME if os.getuid() == 0 else None
    with TemporaryDirectory(prefix="aimaas-postgres-") as name:
        folder = Path(name)
        if user:
            shutil.chown(folder, user)

        def run(program: str, *arguments: str) -> None:
            done = subprocess.run(
                [programs / program, *arguments],
                user=user, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=120, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr

        run("initdb", "-D", "data", "-U", _NAME, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        run("pg_ctl", "-D", "data", "-w", "-t", "90", "-l", "log", "-o", options, "start")
        try:
            yield f"postgresql+psycopg2://{_NAME}@127.0.0.1:{port}/{_NAME}"
        finally:
            run("pg_ctl", "-D", "data", "-m", "immediate", "stop")


def _programs() -> Path:
    """The folder of Postgres' programs: Debian does not put `initdb` on the path."""
    found = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    named = shutil.which("initdb")
    found = [Path(named).parent, *found] if named else found
    for folder in found:
        if (folder / "initdb").exists() and (folder / "pg_ctl").exists():
            return folder
    pytest.skip("there is no Postgres on this machine")
