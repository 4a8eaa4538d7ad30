"""Accepted losses: offsets that retention deleted before they were landed, as far as they may be of one day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from aimaas.fleet import FleetSpec
from aimaas.lake import arrow_dataset, find_table, read_table, table_version
from aimaas.settings import Settings

if TYPE_CHECKING:
    import pyarrow.dataset as ds


@dataclass(frozen=True)
class Loss:
    """Offsets of a partition, `last` included, that were gone when they were to be landed; noted in the lake at `at`."""

    partition: int
    first: int
    last: int
    at: datetime

    def __str__(self) -> str:
        """One line."""
        return (
            f"partition {self.partition} offset {self.first} to {self.last}: deleted by retention before they were landed, "
            f"noted {self.at:%Y-%m-%dT%H:%M:%SZ}"
        )


def losses_of(settings: Settings, fleet: FleetSpec, topic: str, begin: datetime, end: datetime) -> list[Loss]:
    """The topic's gaps whose records the broker may have taken from `begin` on and before `end`: nobody knows when it did.

    Records before a gap that are younger than the day say that it lies after the day, and older ones behind it that it lies before.
    """
    import pyarrow.dataset as ds

    if table_version(settings, fleet.fleet, "gaps") is None:
        return []
    columns = ["partition", "first_offset", "last_offset", "accepted_at"]
    rows = read_table(settings, fleet.fleet, "gaps", columns, ds.field("topic") == topic).to_pylist()
    # a landing that was killed has noted a gap that may have grown since: the longer row comes last, and holds
    gaps = {(r["partition"], r["first_offset"]): r for r in sorted(rows, key=lambda r: r["last_offset"])}
    found = [
        Loss(r["partition"], r["first_offset"], r["last_offset"], r["accepted_at"]) for _, r in sorted(gaps.items())
    ]
    bronze = find_table(settings, fleet.fleet, "bronze")
    landed = None if bronze is None else arrow_dataset(bronze)
    return [loss for loss in found if loss.at >= begin and not _is_elsewhere(landed, topic, loss, begin, end)]


def _is_elsewhere(bronze: ds.Dataset | None, topic: str, loss: Loss, begin: datetime, end: datetime) -> bool:
    import pyarrow.dataset as ds

    if bronze is None:
        return False
    mine = (ds.field("topic") == topic) & (ds.field("partition") == loss.partition)
    before = (ds.field("offset") < loss.first) & (ds.field("broker_ts") >= end)
    behind = (ds.field("offset") > loss.last) & (ds.field("broker_ts") < begin)
    return any(bronze.head(1, columns=["offset"], filter=mine & where).num_rows for where in (before, behind))
