"""One supervised program: whether it runs, why it ended, and when it is restarted."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

from aimaas.errors import StackError
from aimaas.logs import logger
from local.supervision.backoff import BackOff
from local.supervision.part_states import PartState
from local.supervision.processes import ManagedProcess, end_remains, find_process, start_program
from local.supervision.programs import Program

log = logger("supervisor")

_TAIL_BYTES = 8_192
_LINE = 300
_EXIT_S = 5.0  # the threads of a killed process may take this long to end


class Watched:
    """A supervised program. A running process with the same identity is adopted; another one is replaced."""

    def __init__(self, program: Program, back_off: BackOff, before: PartState | None, now: float) -> None:
        self._program, self._back_off = program, back_off
        self._process = find_process(program.name, program.folder)
        self._log_from = _size(self._log)
        self.state = before or PartState(runs=self._process is not None, since=now)
        if self._process is None and self.state.runs:
            self._note_failure("ended while no supervisor ran", ran_s=now - self.state.since, now=now)
        elif self._process is not None and not self.state.runs:
            self.state = PartState(runs=True, since=now, restarts=self.state.restarts)
        self.become(program, now)

    @property
    def _log(self) -> Path:
        return self._program.folder / f"{self._program.name}.log"

    def become(self, program: Program, now: float) -> None:
        """Supervise `program` from now on. A running process is restarted if its identity differs; an ended one starts at once."""
        self._program = program
        if self._process is not None and self._process.identity != program.identity:
            self.stop()
            self.state = PartState(runs=False, since=now, restarts=self.state.restarts, next_at=now)
        elif self._process is None:
            self.state = replace(self.state, next_at=now, failures=0)

    def stop(self) -> None:
        """End the program and all its children."""
        if self._process is not None:
            self._process.stop()
        end_remains(self._program.name, self._program.folder)
        self._process = None

    def turn(self, now: float) -> None:
        """Note whether it has ended, and start it if it is due."""
        if self._process is not None and not self._process.is_alive():
            self._note_end(self._process, now)
        if self._process is None and self.state.next_at is not None and now >= self.state.next_at:
            self._start(now)

    def _note_end(self, process: ManagedProcess, now: float) -> None:
        self._process = None
        error = self._reason(process.exit_code(_EXIT_S))
        end_remains(self._program.name, self._program.folder)
        self._note_failure(error, ran_s=now - self.state.since, now=now)

    def _note_failure(self, error: str, ran_s: float, now: float) -> None:
        failures = self._back_off.failures(self.state.failures, ran_s)
        self.state = PartState(
            runs=False,
            since=now,
            failures=failures,
            failing_since=self.state.failing_since if failures > 1 else now,
            restarts=self.state.restarts + 1,
            next_at=now + self._back_off.pause_s(failures),
            last_error=error,
        )
        pause_s = round(self._back_off.pause_s(failures), 1)
        log.warning("part ended", part=self._program.name, why=error, failures=failures, next_start_in_s=pause_s)

    def _start(self, now: float) -> None:
        end_remains(self._program.name, self._program.folder)  # a full disk may have prevented its record
        self._log_from = _size(self._log)
        try:
            self._process = start_program(self._program)
        except (StackError, OSError) as problem:
            self._note_failure(str(problem), ran_s=0, now=now)
            return
        self.state = replace(self.state, runs=True, since=now, next_at=None)
        log.info("part started", part=self._program.name, pid=self._process.pid, restarts=self.state.restarts)

    def _reason(self, exit_code: int | None) -> str:
        """Return why it ended: the name of a signal, else its last line."""
        if exit_code is not None and exit_code < 0:
            known = -exit_code in set(signal.Signals)
            return f"ended by {signal.Signals(-exit_code).name if known else f'signal {-exit_code}'}"
        how = "ended" if exit_code is None else f"ended with exit code {exit_code}"
        line = last_line(self._log, self._log_from)
        return line if line.startswith("error:") else f"{how}; last line of its log: {line}" if line else how


def last_line(log: Path, begin: int) -> str:
    """Return the last line in `log` after byte `begin` that starts with `error:`, else its last line; at most 300 characters."""
    if _size(log) <= begin:
        return ""
    with log.open("rb") as content:
        content.seek(max(begin, _size(log) - _TAIL_BYTES))
        lines = [line.strip() for line in content.read().decode(errors="replace").splitlines() if line.strip()]
    told = [line for line in lines if line.lower().startswith("error:")] or lines
    return told[-1][:_LINE] if told else ""


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
