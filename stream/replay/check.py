"""`aimaas replay --check`: judges a file as the stream would judge it, and sends nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from aimaas.fleet import FleetSpec
from aimaas.records.refusal_reasons import Reason
from stream.devices.producer import Chunk, Progress
from stream.replay.cells.mistakes import Refused


@dataclass
class Judged:
    """Events that admission would refuse for one reason, with the first as the example."""

    reason: str
    example: str
    events: int = 0


@dataclass(frozen=True)
class Report:
    """Numbers of rows, of their events and outcomes, of rows with unreadable cells, and of events that would be dead letters."""

    rows: int
    events: int
    outcomes: int
    unreadable: list[Refused]
    judged: list[Judged]

    @property
    def is_clean(self) -> bool:
        """Return whether nothing would be refused."""
        return not self.unreadable and not self.judged

    @property
    def admitted(self) -> int:
        """Number of events that would be admitted."""
        return self.events - sum(j.events for j in self.judged)


def judged(
    fleet: FleetSpec, chunks: Iterable[Chunk], now_ms: int, total: int, progress: Progress | None = None
) -> list[Judged]:
    """Return the refused events by reason, if all were sent at `now_ms` to a fleet that knows none of the devices."""
    pa.system_memory_pool().release_unused()  # of reading, some 30 MB: the compiled code takes 120 MB
    from aimaas.admission.judge import Judge  # compiled code, which a plain replay does not need
    from aimaas.kernel.state import DeviceState

    judge, state = Judge(fleet), DeviceState.of(fleet)
    found: dict[Reason, Judged] = {}
    for events, _, rows in chunks:
        batch = judge.decode([key for key, _ in events], [value for _, value in events])
        judge.order(batch, np.full(len(events), now_ms, np.int64), state, forgets=False)
        for at, detail in batch.detail.items():
            reason = Reason(batch.reason[at])
            example = f"device {events[at][0].decode()!r}: {detail}"
            found.setdefault(reason, Judged(reason.label, example)).events += 1
        if progress:
            progress(rows, total)
    return list(found.values())
