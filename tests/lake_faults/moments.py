"""Moments of a write at which it is killed: a first data file is there; a commit to a Delta table is about to be written.

Delta logs that it attempts a commit, then writes it. Here that line goes to a named pipe that is smaller than the line: the JVM
waits in the middle of it until somebody reads the rest, which nobody does, so what is killed has certainly not committed yet.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

_PIPE_BYTES = 4_096
# without an appender at its root Spark would take this for no configuration at all
_LOGGING = """\
rootLogger.level = off
rootLogger.appenderRef.stderr.ref = stderr
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
logger.commit.name = org.apache.spark.sql.delta.OptimisticTransaction
logger.commit.level = info
logger.commit.additivity = false
logger.commit.appenderRef.pipe.ref = pipe
appender.pipe.type = File
appender.pipe.name = pipe
appender.pipe.fileName = {pipe}
appender.pipe.bufferedIO = false
appender.pipe.layout.type = PatternLayout
appender.pipe.layout.pattern = %m %-{width}p%n
"""
_SIGN = b"Attempting to commit version"


def new_file(folder: Path, pattern: str = "*.parquet") -> Callable[[], bool]:
    """Whether a file has come to the folder since now."""
    before = set(folder.rglob(pattern))
    return lambda: bool(set(folder.rglob(pattern)) - before)


class BeforeCommit:
    """Whether the job is about to write its `nth` commit; `environ` is what it must be started with."""

    def __init__(self, folder: Path, nth: int) -> None:
        folder.mkdir(parents=True)
        pipe, logging = folder / "pipe", folder / "log4j2.properties"
        os.mkfifo(pipe)
        logging.write_text(_LOGGING.format(pipe=pipe, width=4 * _PIPE_BYTES))
        self.environ = {"JDK_JAVA_OPTIONS": f"-Dlog4j2.configurationFile={logging.as_uri()}"}
        self._read, self._left = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK), nth
        fcntl.fcntl(self._read, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._tail = b""

    def __call__(self) -> bool:
        """Read on, but never beyond the sign that is waited for."""
        try:
            piece = os.read(self._read, len(_SIGN))
        except BlockingIOError:
            return False
        text = self._tail + piece
        found = text.count(_SIGN)
        self._left -= found
        self._tail = text[text.rfind(_SIGN) + len(_SIGN) :] if found else text[-len(_SIGN) + 1 :]
        return self._left == 0

    def close(self) -> None:
        """Let go of the pipe."""
        os.close(self._read)
