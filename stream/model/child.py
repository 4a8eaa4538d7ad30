"""Child processes for work that must not crash the scorer: with limits on time, memory and files, without the parent's secrets."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NoReturn

_ROOT = Path(__file__).resolve().parents[2]  # the child runs the parent's code, from any location
_LOOK_S = 0.2
_PLAIN = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "NUMBA_CACHE_DIR")
_THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Ended:
    """The end of a child: its exit code (negative: the signal; None: its time ran out) and its output."""

    code: int | None
    out: bytes
    errors: str

    @property
    def last_line(self) -> str:
        """The last line on standard error."""
        return (self.errors.strip().splitlines() or ["no message"])[-1][:200]


class StoppedError(Exception):
    """The parent was asked to stop while the child ran."""


def run_child(
    module: str,
    arguments: Sequence[str],
    given: bytes,
    limit_s: float,
    stop: threading.Event | None = None,
    secrets: bool = False,
) -> Ended:
    """Run `main(arguments)` of a module in a separate process, with `given` as standard input.

    After `limit_s` the child and all its child processes are killed. It sees credentials in the environment only with
    `secrets`. Raises OSError if no process can be started, StoppedError once `stop` is set.
    """
    program = f"import sys; sys.path.insert(0, {str(_ROOT)!r}); import {module} as child; child.main(sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", program, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, start_new_session=True, env=_environment(secrets),
    )  # fmt: skip
    try:
        return _await(process, given, time.monotonic() + limit_s, stop)
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _environment(secrets: bool) -> dict[str, str]:
    given = dict(os.environ) if secrets else {name: os.environ[name] for name in _PLAIN if name in os.environ}
    return {**given, **_THREADS}


def _await(process: subprocess.Popen[bytes], given: bytes, until: float, stop: threading.Event | None) -> Ended:
    # a thread writes it: if `communicate` times out, it never writes the rest
    feed, process.stdin = process.stdin, None
    threading.Thread(target=_write, args=(feed, given), name="child-input", daemon=True).start()
    while True:
        try:
            out, errors = process.communicate(timeout=_LOOK_S)
        except subprocess.TimeoutExpired:
            if stop is not None and stop.is_set():
                raise StoppedError from None
            if time.monotonic() > until:
                return Ended(None, b"", "")
        else:
            return Ended(process.returncode, out, errors.decode(errors="replace"))


def _write(feed: IO[bytes] | None, given: bytes) -> None:
    """Write all and close; a child that has ended reads no more."""
    with suppress(OSError):
        if feed is not None:
            with feed:
                feed.write(given)


def bound(memory: int, file_bytes: int, limit_s: float) -> None:
    """Limit the child's memory and files, and end it when its parent is gone. The child calls this first."""
    signal.alarm(int(limit_s) + 1)  # its default action ends the process in any state
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")  # the kernel kills the child before the scorer


def say(answer: bytes) -> NoReturn:
    """Write the child's answer and end, without the destructors of libraries, which may crash. The child calls this last."""
    sys.stdout.buffer.write(answer)
    sys.stdout.buffer.flush()
    os._exit(0)
