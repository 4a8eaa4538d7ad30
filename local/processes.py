"""Child processes that can outlive their parent, be found again, and be stopped with all they started.

A process runs in a session of its own, so its session id is its pid. A record file beside its log holds the pid and
the time it began: a pid that the system gave to somebody else since is never signalled.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from aimaas.errors import StackError

_CLOCK_SLACK_S = 2.0  # the start time is derived from the boot time, which the system adjusts


@dataclass(frozen=True)
class ManagedProcess:
    """One process that we started; `record` is the file it is found by, `log` takes its output."""

    name: str
    pid: int
    started_at: float
    record: Path
    log: Path
    _child: subprocess.Popen[bytes] | None = field(default=None, repr=False, compare=False)

    def is_alive(self) -> bool:
        """Say whether this very process still runs (a zombie does not)."""
        return self._leader() is not None

    def exit_code(self) -> int | None:
        """Return the exit code of a process started by this very interpreter; None while it runs or where unknown."""
        return self._child.poll() if self._child else None

    def stop(self, timeout_s: float = 20.0) -> None:
        """Ask it to end (SIGTERM), and after `timeout_s` end it and all it started (SIGKILL). Waits for the end."""
        members = self._members()
        leader = self._leader()
        if leader is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                leader.terminate()
            self._wait_for_leader(leader, timeout_s)
        self._end({*members, *self._members()})

    def kill(self) -> None:
        """End it and all it started at once (SIGKILL), and wait until they are gone."""
        self._end(set(self._members()))

    def signal_all(self, number: signal.Signals) -> None:
        """Send a signal to it and to all it started."""
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
        """All processes of its session and all its descendants; none when the pid is somebody else's by now."""
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
) -> ManagedProcess:
    """Start `command` in a session of its own, with its output appended to `<folder>/<name>.log`.

    `environ` replaces the inherited environment where given. Raises StackError when one of this name is running
    or the program cannot be started.
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
                env=None if environ is None else dict(environ),
                cwd=working_directory,
            )
        except OSError as problem:
            raise StackError(f"{name} cannot be started: {command[0]}: {problem.strerror}") from problem
    process = ManagedProcess(name, child.pid, _start_time(child.pid), folder / f"{name}.pid.json", log, child)
    process.record.write_text(json.dumps({"pid": process.pid, "started_at": process.started_at}) + "\n")
    return process


def find_process(name: str, folder: Path) -> ManagedProcess | None:
    """Find the running process of this name by its record; None when there is none or it has ended."""
    record = folder / f"{name}.pid.json"
    try:
        content = json.loads(record.read_text())
        process = ManagedProcess(
            name, int(content["pid"]), float(content["started_at"]), record, folder / f"{name}.log"
        )
    except (OSError, ValueError, KeyError):
        return None
    return process if process.is_alive() else None


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
