"""Child processes that outlive their parent, and that can be found again and stopped with all their children.

A process runs in its own session. A record file beside its log holds the pid and the start time, so that no signal goes to another
process that got the same pid later. A variable in its environment names it. Its children inherit the variable, even in sessions of
their own, so they are found when it has ended. A child that is a program of its own has another name and runs on.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from aimaas.errors import StackError
from local.supervision.programs import PART_MARK, Program

RECORD = ".pid.json"  # suffix of record files
_CLOCK_SLACK_S = 2.0  # the start time is derived from the boot time, which the system adjusts


@dataclass(frozen=True)
class ManagedProcess:
    """One process that we started. `record` is the file by which it is found, `log` takes its output.

    `identity` is the identity of its program, if it was started from one.
    """

    name: str
    pid: int
    started_at: float
    record: Path
    log: Path
    identity: str = ""
    _child: subprocess.Popen[bytes] | None = field(default=None, repr=False, compare=False)

    def is_alive(self) -> bool:
        """Return whether this process still runs. A zombie does not count."""
        return self._leader() is not None

    def exit_code(self, timeout_s: float = 0.0) -> int | None:
        """Return the exit code of a process that this interpreter started; None while it runs or if it is not known.

        A killed process whose threads are still ending is no longer alive and has no exit code yet. `timeout_s` waits for it.
        """
        if self._child is None:
            return None
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._child.wait(timeout_s)
        return None

    def stop(self, timeout_s: float = 20.0) -> None:
        """End it with SIGTERM, and after `timeout_s` end it and all its children with SIGKILL. Waits for the end."""
        leader = self._leader()
        if leader is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                leader.terminate()
            self._wait_for_leader(leader, timeout_s)
        self.kill()

    def kill(self) -> None:
        """End it and all its children at once with SIGKILL, and wait until they are gone."""
        leader = self._leader()
        children = [p for p in _marked(_mark(self.record.parent, self.name).__eq__) if p != leader]
        _kill([*filter(None, [leader]), *children])
        if leader is not None:
            self._wait_for_leader(leader, timeout_s=10)
        psutil.wait_procs(children, timeout=10)
        self.record.unlink(missing_ok=True)

    def tail(self, lines: int = 5) -> str:
        """Return the last lines of its log."""
        if not self.log.is_file():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _leader(self) -> psutil.Process | None:
        if self._child is not None and self._child.poll() is not None:
            return None
        with contextlib.suppress(psutil.NoSuchProcess):
            found = psutil.Process(self.pid)
            is_ours = abs(found.create_time() - self.started_at) < _CLOCK_SLACK_S
            if is_ours and found.status() != psutil.STATUS_ZOMBIE:
                return found
        return None

    def _wait_for_leader(self, leader: psutil.Process, timeout_s: float) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired, psutil.TimeoutExpired, psutil.NoSuchProcess):
            if self._child is not None:  # our own child: only Popen may collect its exit code
                self._child.wait(timeout_s)
            else:
                leader.wait(timeout_s)


def start_process(
    command: Sequence[str],
    *,
    name: str,
    folder: Path,
    environ: Mapping[str, str] | None = None,
    working_directory: Path | None = None,
    identity: str = "",
) -> ManagedProcess:
    """Start `command` in its own session. Its output is appended to `<folder>/<name>.log`.

    `environ` replaces the inherited environment if it is given. Raises StackError if a process of this name runs, or if the program
    cannot be started.
    """
    if find_process(name, folder) is not None:
        raise StackError(f"{name} is already running in {folder}: stop it first")
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"{name}.log"
    with log.open("ab") as output:
        try:
            child = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**(os.environ if environ is None else environ), PART_MARK: _mark(folder, name)},
                cwd=working_directory,
            )
        except OSError as problem:
            raise StackError(f"{name} cannot be started: {command[0]}: {problem.strerror}") from problem
    record = folder / f"{name}{RECORD}"
    process = ManagedProcess(name, child.pid, _start_time(child.pid), record, log, identity, child)
    kept = {"pid": process.pid, "started_at": process.started_at, "identity": identity}
    record.write_text(json.dumps(kept) + "\n")
    return process


def start_program(program: Program) -> ManagedProcess:
    """Start a program as `start_process` does."""
    return start_process(
        program.command,
        name=program.name,
        folder=program.folder,
        environ=program.environ,
        working_directory=program.working_directory,
        identity=program.identity,
    )


def find_process(name: str, folder: Path) -> ManagedProcess | None:
    """Find the running process of this name by its record; None if there is none or it has ended."""
    record = folder / f"{name}{RECORD}"
    try:
        content = json.loads(record.read_text())
        at = int(content["pid"]), float(content["started_at"])
        process = ManagedProcess(name, *at, record, folder / f"{name}.log", str(content.get("identity", "")))
    except (OSError, ValueError, KeyError, AttributeError):
        return None
    return process if process.is_alive() else None


def find_processes(folder: Path, pattern: str = "*") -> list[ManagedProcess]:
    """Return the running processes with records in `folder`, in the order of their names; `*/*` searches its subfolders instead."""
    records = sorted(folder.glob(f"{pattern}{RECORD}"))
    found = (find_process(record.name.removesuffix(RECORD), record.parent) for record in records)
    return [process for process in found if process is not None]


def end_marked(folder: Path, keep: Iterable[tuple[Path, str]] = ()) -> None:
    """End with SIGKILL every process that was started as a program below `folder`, and all children of these.

    Programs in `keep`, by folder and name, are left alone.
    """
    kept = {_mark(*one) for one in keep}
    _end(_marked(lambda mark: Path(mark).is_relative_to(folder.absolute()) and mark not in kept))


def end_remains(name: str, folder: Path) -> None:
    """End with SIGKILL the processes that an ended program left behind, in any session."""
    _end(_marked(_mark(folder, name).__eq__))


def _mark(folder: Path, name: str) -> str:
    return str(folder.absolute() / name)


def _marked(chosen: Callable[[str], bool]) -> list[psutil.Process]:
    """Return the processes whose mark is chosen, without this one."""
    return [p for p in psutil.process_iter() if p.pid != os.getpid() and (mark := _mark_of(p)) and chosen(mark)]


def _kill(processes: Iterable[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def _end(processes: list[psutil.Process]) -> None:
    _kill(processes)
    psutil.wait_procs(processes, timeout=10)


def _mark_of(process: psutil.Process) -> str:
    """Return the program that a process belongs to; empty if there is none or it is not readable."""
    try:
        return str(process.environ().get(PART_MARK, ""))
    except (psutil.Error, OSError):
        return ""


def _start_time(pid: int) -> float:
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return 0.0
