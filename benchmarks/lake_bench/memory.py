"""The peak memory of Spark's driver (Java and Python) and its workers together."""

from __future__ import annotations

import threading
from types import TracebackType

import psutil

_EVERY_S = 0.2


class Peak:
    """Measures, during a `with` block, a process with all its children, and the growth of this process.

    `mib` is the largest sum of resident memory.
    """

    def __init__(self, pid: int) -> None:
        self._process, self._own, self.mib = psutil.Process(pid), psutil.Process(), 0.0
        self._at_first = _resident(self._own)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(_EVERY_S):
            others = sum(map(_resident, [self._process, *self._process.children(recursive=True)]))
            self.mib = max(self.mib, (others + max(_resident(self._own) - self._at_first, 0)) / 2**20)


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:  # a worker that has just ended
        return 0
