"""Cuts a Spark task's sorted rows where devices end, whatever batches they come in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


def whole_devices(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield batches that hold all rows of each of their devices. Held back is one device, so that is the memory it takes."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        if not len(batch):
            continue
        ids = batch["device_id"]
        start = ids.index(ids[-1]).as_py()  # of the device that may go on in the next batch
        if start:
            yield _joined([*held, batch.slice(0, start)])
            held = []
        elif held and held[-1]["device_id"][-1] != ids[0]:
            yield _joined(held)
            held = []
        held.append(batch.slice(start))
    if held:
        yield _joined(held)


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    import pyarrow as pa

    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)
