"""Programs of the stack: how each is started. They are separate from running processes, in a plan that the supervisor reads."""

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
"""Variable in the environment of each process and of its children: the program, as `<folder>/<name>`."""
_TELLING = ("AIMAAS_", "AIRFLOW_", "MLFLOW_", "SPARK_", "PYSPARK_")
"""Prefixes of variables that decide what a program does. Other variables differ between shells."""


@dataclass(frozen=True)
class Program:
    """One program: its `command` with the whole `environ`, started in `working_directory`.

    Without `environ` it inherits the environment of its starter, and does not depend on the variables of the stack.
    `<folder>/<name>` is its name on the whole machine; its log and its record are there. It answers at `port` once it serves.
    `reads` is a digest of what it reads once, when it starts.
    """

    name: str
    folder: Path
    command: tuple[str, ...]
    environ: Mapping[str, str] | None = field(default=None, repr=False)  # may hold secrets
    working_directory: Path | None = None
    port: int | None = None
    reads: str = ""

    @property
    def identity(self) -> str:
        """A digest of all that decides its work: command, folder, port, variables, `reads`. Another digest is another program."""
        environ = self.environ or {}  # an inherited environment decides nothing
        told = sorted((k, v) for k, v in environ.items() if k.startswith(_TELLING) and k != PART_MARK)
        whole = [list(self.command), str(self.working_directory), self.port, told, self.reads]
        return hashlib.sha256(json.dumps(whole).encode()).hexdigest()


def write_plan(folder: Path, programs: Sequence[Program]) -> None:
    """Write the plan into `folder`, atomically. Only its owner may read it, because environments hold secrets."""
    folder.mkdir(parents=True, exist_ok=True)
    new = folder / f"{PLAN_FILE}.new"
    write_private(new, json.dumps([_plain(p) for p in programs]))
    new.replace(folder / PLAN_FILE)


def read_plan(folder: Path) -> list[Program]:
    """Return the plan in `folder`; empty if there is none. Raises StackError if the file cannot be read."""
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
        "reads": program.reads,
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
        str(plain.get("reads", "")),
    )
