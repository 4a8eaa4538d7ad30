"""Child processes that outlive their parent, and that can be found again and stopped with all their children.

A process runs in its own session, so its session id is its pid. A record file beside its log holds the pid and the start time, so
that no signal goes to another process that got the same pid later. A variable in its environment names it. Its children inherit the
variable, even in sessions of their own, so processes that it leaves behind are found.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
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
        members = self._members()
        leader = self._leader()
        if leader is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                leader.terminate()
            self._wait_for_leader(leader, timeout_s)
        self._end({*members, *self._members()})

    def stop_alone(self, timeout_s: float = 10.0) -> None:
        """End it as `stop` does, but leave its children running."""
        leader = self._leader()
        if leader is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                leader.terminate()
                self._wait_for_leader(leader, timeout_s)
                leader.kill()
                self._wait_for_leader(leader, timeout_s)
        self.record.unlink(missing_ok=True)

    def kill(self) -> None:
        """End it and all its children at once with SIGKILL, and wait until they are gone."""
        self._end(set(self._members()))

    def signal_all(self, number: signal.Signals) -> None:
        """Send a signal to it and to all its children."""
        for member in self._members():
            with contextlib.suppress(psutil.NoSuchProcess):
                member.send_signal(number)

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
            if self._is_ours(found) and found.status() != psutil.STATUS_ZOMBIE:
                return found
        return None

    def _is_ours(self, found: psutil.Process) -> bool:
        return bool(abs(found.create_time() - self.started_at) < _CLOCK_SLACK_S)

    def _members(self) -> list[psutil.Process]:
        """Return all processes of its session and all its descendants; none if another process has the pid now."""
        with contextlib.suppress(psutil.NoSuchProcess):
            if not self._is_ours(psutil.Process(self.pid)):
                return []
        members = {p for p in psutil.process_iter() if _session_of(p.pid) == self.pid}
        leader = self._leader()
        if leader is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                members |= {leader, *leader.children(recursive=True)}
        return sorted(members, key=lambda p: p.pid)

    def _end(self, members: set[psutil.Process]) -> None:
        for member in members:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        for member in members:
            if member.pid == self.pid:
                self._wait_for_leader(member, timeout_s=10)
        psutil.wait_procs([m for m in members if m.pid != self.pid], timeout=10)
        self.record.unlink(missing_ok=True)

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
    _end_where(lambda mark: Path(mark).is_relative_to(folder.absolute()) and mark not in kept)


def end_remains(name: str, folder: Path) -> None:
    """End with SIGKILL the processes that an ended program left behind, in any session."""
    _end_where(lambda mark: mark == _mark(folder, name))


def _mark(folder: Path, name: str) -> str:
    return str(folder.absolute() / name)


def _end_where(ends: Callable[[str], bool]) -> None:
    found = [p for p in psutil.process_iter() if p.pid != os.getpid() and (mark := _mark_of(p)) and ends(mark)]
    for process in found:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(found, timeout=10)


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


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None
