"""Programs of the stack: what is started for each, told apart from what runs, and kept in a plan that a new supervisor reads."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aimaas.errors import StackError
from local.private_files import write_private

PLAN_FILE = "plan.json"
PART_MARK = "AIMAAS_PART"
"""Names, in the environment of each process and of all that it starts, the program: `<folder>/<name>`."""
_TELLING = ("AIMAAS_", "AIRFLOW_", "MLFLOW_", "SPARK_", "PYSPARK_")
"""Variables that decide what a program does; the others differ from shell to shell."""


@dataclass(frozen=True)
class Program:
    """One program: its `command` with the whole `environ`, started in `working_directory`.

    Without `environ` it has the starter's own, and nothing that it does depends on the variables of the stack. `<folder>/<name>` is
    its name in the whole machine: log and record lie there. A `port` is where it answers once it serves.
    """

    name: str
    folder: Path
    command: tuple[str, ...]
    environ: Mapping[str, str] | None = field(default=None, repr=False)  # may hold secrets
    working_directory: Path | None = None
    port: int | None = None

    @property
    def identity(self) -> str:
        """A digest of what makes it another program: command, folder, port and the variables that decide what it does."""
        environ = self.environ or {}  # the starter's own decides nothing
        told = sorted((k, v) for k, v in environ.items() if k.startswith(_TELLING) and k != PART_MARK)
        whole = [list(self.command), str(self.working_directory), self.port, told]
        return hashlib.sha256(json.dumps(whole).encode()).hexdigest()


def write_plan(folder: Path, programs: Sequence[Program]) -> None:
    """Put the plan into `folder` at once and whole; only its owner may read it, since environments hold secrets."""
    folder.mkdir(parents=True, exist_ok=True)
    new = folder / f"{PLAN_FILE}.new"
    write_private(new, json.dumps([_plain(p) for p in programs]))
    new.replace(folder / PLAN_FILE)


def read_plan(folder: Path) -> list[Program]:
    """The plan in `folder`; empty where there is none. Raises StackError for a file that cannot be read."""
    path = folder / PLAN_FILE
    try:
        return [_program(p) for p in json.loads(path.read_text())]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise StackError(f"{path} cannot be read ({problem}): run `aimaas down`, then `aimaas up`") from None


def _plain(program: Program) -> dict[str, object]:
    where = program.working_directory
    return {
        "name": program.name,
        "folder": str(program.folder),
        "command": list(program.command),
        "environ": None if program.environ is None else dict(program.environ),
        "working_directory": None if where is None else str(where),
        "port": program.port,
    }


def _program(plain: Mapping[str, object]) -> Program:
    where, environ, command = plain["working_directory"], plain["environ"], plain["command"]
    if not isinstance(command, list) or not isinstance(environ, dict | None):
        raise ValueError("a program without command or environment")
    port = plain["port"]
    return Program(
        str(plain["name"]),
        Path(str(plain["folder"])),
        tuple(command),
        environ,
        None if where is None else Path(str(where)),
        port if isinstance(port, int) else None,
    )
