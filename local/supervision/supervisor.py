"""The supervisor: one process that starts the programs of a plan and restarts those that end.

`python -m local.supervision.supervisor HOME` runs until SIGTERM, or until the plan is deleted. Its programs continue without it.
The next supervisor adopts programs that run as in the plan, and replaces the others. We wrote it because neither `supervisor` nor
`circus` adopts the programs of a killed instance (both would start them twice), and both give up on a program that fails
repeatedly.
"""

from __future__ import annotations

import contextlib
import fcntl
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from aimaas.errors import StackError
from aimaas.logs import logger, set_up_logs
from aimaas.settings import read_settings
from local.supervision.backoff import BackOff
from local.supervision.part_states import PartState, read_states, write_states
from local.supervision.processes import ManagedProcess, end_marked, find_process, start_process
from local.supervision.programs import PLAN_FILE, Program, read_plan
from local.supervision.watched import Watched

log = logger("supervisor")

NAME = "supervisor"
_TURN_S = 0.25
_ROOT = Path(__file__).resolve().parents[2]


class Supervisor:
    """Runs the programs of the plan in the supervisor's folder below `home`. `turn` does one round of all its work."""

    def __init__(self, home: Path, back_off: BackOff) -> None:
        self._home, self._folder, self._back_off = home, folder_of(home), back_off
        self._parts: dict[str, Watched] = {}
        self._read_at: tuple[int, int] | None = None
        self._told: dict[str, PartState] = {}

    def turn(self, now: float) -> bool:
        """Apply a changed plan, start programs that are due at `now` (Unix seconds), write the states.

        Return False if the plan is deleted: then all programs are ended.
        """
        if not self._follow_plan(now):
            return False
        for name, part in self._parts.items():
            try:
                part.turn(now)
            except (
                OSError,
                psutil.Error,
            ) as problem:  # a full disk or a full process table: try again at the next turn
                log.error("part could not be supervised", part=name, error=str(problem))
            self._tell()
        return True

    def _tell(self) -> None:
        """Write the states if one changed. Called after each part, because ending its remains may take seconds."""
        told = {name: part.state for name, part in self._parts.items()}
        if told != self._told:
            with contextlib.suppress(OSError):  # a full disk: try again at the next turn
                write_states(self._folder, told)
                self._told = told

    def _follow_plan(self, now: float) -> bool:
        try:
            found = (self._folder / PLAN_FILE).stat()
        except FileNotFoundError:
            end_marked(self._home, keep=[(self._folder, NAME)])
            return False
        version = found.st_mtime_ns, found.st_ino
        if version != self._read_at:
            first, self._read_at = self._read_at is None, version
            self._follow(read_plan(self._folder), now, first=first)
        return True

    def _follow(self, programs: Sequence[Program], now: float, *, first: bool) -> None:
        wanted = {program.name: program for program in programs}
        if first:  # programs of another supervisor, for a plan that is gone
            end_marked(self._home, keep=[(self._folder, NAME), *((p.folder, p.name) for p in programs)])
        for name in self._parts.keys() - wanted.keys():
            self._parts.pop(name).stop()
        before = read_states(self._folder) if first else {}
        for name, program in wanted.items():
            if name in self._parts:
                self._parts[name].become(program, now)
            else:
                self._parts[name] = Watched(program, self._back_off, before.get(name), now)


def folder_of(home: Path) -> Path:
    """Return the folder of the supervisor's plan, states, record and log."""
    return home / NAME


def find_supervisor(home: Path) -> ManagedProcess | None:
    """Return the supervisor that runs for `home`, no matter who started it."""
    return find_process(NAME, folder_of(home))


def start_supervisor(home: Path) -> ManagedProcess:
    """Start a supervisor for the plan below `home`. It outlives the shell that starts it."""
    command = [sys.executable, "-m", "local.supervision.supervisor", str(home)]
    return start_process(command, name=NAME, folder=folder_of(home), working_directory=_ROOT)


def main() -> None:
    """Supervise until SIGTERM or SIGINT. A second supervisor for the same home ends at once."""
    home, stop = Path(sys.argv[1]), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    set_up_logs(read_settings())
    with (folder_of(home) / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            sys.exit(f"error: another supervisor runs for {home}")
        supervisor = Supervisor(home, BackOff())
        try:
            while not stop.is_set() and supervisor.turn(time.time()):
                stop.wait(_TURN_S)
        except StackError as problem:
            sys.exit(f"error: {problem}")


if __name__ == "__main__":
    main()
