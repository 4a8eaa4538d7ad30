"""Collects cyclic garbage between batches, not during a batch.

A batch makes tens of thousands of objects and no cycles. Their number triggers Python's collector, which walks over them
again and again: measured, a third of the time of decoding and encoding. Cycles come from errors and new models, which are
rare.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

EVERY_S = 10.0


@contextmanager
def collected_between_batches() -> Iterator[None]:
    """Switch the automatic collector off in a process that calls `GarbageCollector`."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


class GarbageCollector:
    """Decides when to collect, and collects."""

    def __init__(self, now: float) -> None:
        self._last = now

    def freeze(self) -> None:
        """Exclude all present objects from collection: walking over libraries, compiled code and a model takes 0.2 s each time."""
        if not gc.isenabled():
            gc.collect()
            gc.freeze()

    def collect_if_due(self, now: float) -> None:
        """Collect if the last collection is long ago and the automatic collector is off; `now` in monotonic seconds."""
        if now - self._last >= EVERY_S and not gc.isenabled():
            gc.collect()
            self._last = now
