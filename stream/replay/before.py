"""Checks that old rows precede gold's rows of their devices, by run and counter as well as by time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from aimaas.fleet import FleetSpec
from aimaas.lake import arrow_dataset, find_table
from aimaas.lake.torn_files import reading
from aimaas.settings import Settings
from stream.replay.mapping.schema import ReplayError

if TYPE_CHECKING:
    from aimaas.admission.judge import Batch  # compiled code, which a plain replay does not need

_COLUMNS = ["device_id", "run", "order", "ts"]


class First(NamedTuple):
    """The first row of a device in gold: its run and order key, and its time in microseconds since 1970."""

    run: int
    order: int
    ts_us: int


@dataclass(frozen=True)
class Oldest:
    """The first row of each device in gold."""

    order: str
    rows: Mapping[str, First]

    @classmethod
    def of(cls, settings: Settings, fleet: FleetSpec) -> Oldest:
        """Read from gold, a few batches at once; empty if there is no gold yet. Raises LakeError."""
        import pyarrow as pa

        found, first = find_table(settings, fleet.fleet, "gold"), dict[str, First]()
        if found is None:
            return cls(fleet.order, first)
        with reading(found.table_uri):
            for batch in arrow_dataset(found).scanner(columns=_COLUMNS, batch_readahead=2).to_reader():
                ts_us = batch["ts"].cast(pa.timestamp("us", "UTC")).cast(pa.int64())
                columns = (batch["device_id"], batch["run"], batch["order"], ts_us)
                for device, *place in zip(*(column.to_pylist() for column in columns), strict=True):
                    row = First(*place)
                    first[device] = min(first.get(device, row), row)
        return cls(fleet.order, first)

    def check(self, batch: Batch) -> None:
        """Raise ReplayError if a row is older than its device's first row in gold, but has no smaller run and counter."""
        for row in np.flatnonzero(batch.reason[batch.at] == 0).tolist():
            device = batch.device_ids[row]
            first = self.rows.get(device)
            if first is None or batch.ts_us[row] >= first.ts_us:
                continue
            run, order = int(batch.run[row]), int(batch.order[row])
            if (run, order) >= (first.run, first.order):
                counted = f", {self.order} {order}" if self.order == "seq" else ""
                began = f", {self.order} {first.order}" if self.order == "seq" else ""
                raise ReplayError(
                    f"device {device!r}: a row of {_text(batch.ts_us[row])} has run {run}{counted}, and gold begins "
                    f"later ({_text(first.ts_us)}) with run {first.run}{began}: this row would be ordered after later rows; in the "
                    "mapping, set run and seq to columns that count on across both files"
                )


def _text(ts_us: int) -> str:
    return f"{np.datetime64(int(ts_us), 'us').astype('M8[s]')}Z"
