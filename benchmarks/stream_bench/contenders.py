"""The contenders as separate processes: started, watched, and ended with SIGTERM by their own handle."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from stream_bench.stage import ROOT

_STOP_LIMIT_S = 30.0


class ContenderError(Exception):
    """A contender ended by itself, or did not do its work; the message has the end of its log."""


@dataclass
class Contender:
    """A running contender; `pid` is the process that does the work."""

    name: str
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        """Process id."""
        return self.process.pid

    def check(self) -> None:
        """Raise ContenderError if it has ended."""
        if self.process.poll() is not None:
            raise ContenderError(f"{self.name} ended with exit code {self.process.returncode}:\n{self.tail()}")

    def tail(self) -> str:
        """Return the last lines of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])

    def freeze(self) -> None:
        """Stop it at once, so that it takes no processor time until `thaw`."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it continue."""
        self.process.send_signal(signal.SIGCONT)

    def pin(self, core: int) -> None:
        """Pin all its threads, also later ones, to one core of the machine: number `core`, modulo the number of cores."""
        cores = sorted(os.sched_getaffinity(0))
        for thread in psutil.Process(self.pid).threads():
            os.sched_setaffinity(thread.id, {cores[core % len(cores)]})

    def stop(self) -> None:
        """Ask it to end, and wait for the end. Raises ContenderError if it fails while it ends, or does not end."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(_STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            raise ContenderError(f"{self.name} did not end within {_STOP_LIMIT_S:g} s:\n{self.tail()}") from None
        if code != 0:
            raise ContenderError(f"{self.name} ended with exit code {code}:\n{self.tail()}")


@contextmanager
def running(
    name: str, command: Sequence[str], folder: Path, environ: dict[str, str] | None = None
) -> Iterator[Contender]:
    """Run a program from the project's root; at the end ask it to end, and kill it if that fails."""
    log = folder / f"{name}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **(environ or {})}, stdout=output, stderr=subprocess.STDOUT
        )
    contender = Contender(name, log, process)
    try:
        yield contender
        contender.stop()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
