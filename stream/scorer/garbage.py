"""Cyclic garbage is collected between batches, not amid them.

A batch makes tens of thousands of objects and no cycles. Python's collector, set off by their number, walks over them again and
again: measured, a third of the time of decoding and encoding. What does make cycles (errors, a new model) is rare.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

EVERY_S = 10.0


@contextmanager
def collected_between_batches() -> Iterator[None]:
    """Switch the collector off for a process that takes `GarbageCollector`."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


class GarbageCollector:
    """Says when it is time to collect, and does."""

    def __init__(self, now: float) -> None:
        self._last = now

    def freeze(self) -> None:
        """Never look again at what is there now: libraries, compiled code and a model are 0.2 s of looking each time."""
        if not gc.isenabled():
            gc.collect()
            gc.freeze()

    def collect_if_due(self, now: float) -> None:
        """Collect if the last time is long ago and nobody else does; `now` in monotonic seconds."""
        if now - self._last >= EVERY_S and not gc.isenabled():
            gc.collect()
            self._last = now
