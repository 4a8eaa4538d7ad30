"""Cuts the sorted rows of a Spark task where devices end, independent of the batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


def whole_devices(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield batches that hold all rows of each of their devices. Only one device at a time is held in memory."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        if not len(batch):
            continue
        ids = batch["device_id"]
        start = ids.index(ids[-1]).as_py()  # first row of the device that may continue in the next batch
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
