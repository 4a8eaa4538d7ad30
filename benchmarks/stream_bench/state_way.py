"""`aimaas score` with another way to save state: `state_way.py WAY score --fleet …`; none of them is an option of the product.

`snapshots`: as it is, paced by the input. `commits`: at each commit a record of every device that changed. `events`: a record for
each event; what an event packs is the device's state at the commit, which costs as many bytes as its state at the event.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from typing import Any

from stream.state.partition import PartitionState
from stream.state.records import StateRecord, device_record

WAYS = ("snapshots", "commits", "events")


def save_every_commit() -> None:
    """Let credit never run out."""
    paced = PartitionState.records_to_write

    def unpaced(state: PartitionState) -> list[StateRecord]:
        state.credit_bytes = math.inf
        return paced(state)

    PartitionState.records_to_write = unpaced  # type: ignore[method-assign, assignment]


def save_every_event() -> None:
    """As for commits, and further records of a device that had more than one event."""
    save_every_commit()
    once, advance = PartitionState.records_to_write, PartitionState.advance
    events: dict[int, Counter[str]] = {}

    def counted(state: PartitionState, *args: Any, **kwargs: Any) -> Any:
        batch, features = advance(state, *args, **kwargs)
        events.setdefault(id(state), Counter()).update([batch.device_ids[r] for r in batch.admitted])
        return batch, features

    def each(state: PartitionState) -> list[StateRecord]:
        records, seen = once(state), events.pop(id(state), Counter[str]())
        slots = dict(state.devices.devices)
        more = [d for d, n in seen.items() for _ in range(n - 1)]
        return [*(device_record(d, state.position, state.devices.pack(slots[d])) for d in more), *records]

    PartitionState.records_to_write = each  # type: ignore[method-assign, assignment]
    PartitionState.advance = counted  # type: ignore[method-assign, assignment]


def main() -> None:
    """Put the way in, run the command line."""
    way = sys.argv.pop(1)
    {"snapshots": lambda: None, "commits": save_every_commit, "events": save_every_event}[way]()
    from aimaas.cli.app import main as run

    run()


if __name__ == "__main__":
    main()
