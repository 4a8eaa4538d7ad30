"""Losses: offsets that no longer existed when they were to be landed or scored, and that may belong to one day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from aimaas.admission.journal import Gap
from aimaas.fleet import FleetSpec
from aimaas.lake import arrow_dataset, find_table, read_table, table_version
from aimaas.settings import Settings

if TYPE_CHECKING:
    import pyarrow.dataset as ds

_BY = {"land": "never landed", "scorer": "never scored", "state": "missing in the state of their devices"}
RETENTION = "retention had deleted them"


@dataclass(frozen=True)
class Loss:
    """Offsets of a partition up to and including `last` (None: unknown) that `by` never read; noted at `at`, with the reason `why`.

    `topic` is the label.
    """

    topic: str
    partition: int
    first: int
    last: int | None
    at: datetime
    by: str = "land"
    why: str = RETENTION

    def __str__(self) -> str:
        """Return one line."""
        offsets = f"from offset {self.first} on, if there were any," if self.last is None else self._offsets()
        noted = f"noted {self.at:%Y-%m-%dT%H:%M:%SZ}"
        return f"{self.topic}, partition {self.partition}, {offsets} {_BY[self.by]}: {self.why}, {noted}"

    def _offsets(self) -> str:
        return f"offset {self.first} to {self.last}"


def losses_of(
    settings: Settings,
    fleet: FleetSpec,
    labels: Sequence[str],
    begin: datetime,
    end: datetime,
    gaps: Sequence[Gap] = (),
) -> list[Loss]:
    """Return the losses whose records may have a broker time from `begin` on and before `end`; their true times are unknown.

    They are in the lake's table `gaps`, and the journal's are in the argument `gaps`. A loss lies after the day if a record
    in front of it is younger than the day, and before the day if a record behind it is older.
    """
    noted = [Loss(g.topic, g.partition, g.first, g.last, g.at, g.by, g.why) for g in gaps if g.topic in labels]
    found = [*_in_lake(settings, fleet, labels), *noted]
    bronze = find_table(settings, fleet.fleet, "bronze")
    landed = None if bronze is None else arrow_dataset(bronze)
    mine = [loss for loss in found if loss.at >= begin and not _is_elsewhere(landed, loss, begin, end)]
    return sorted(mine, key=lambda loss: (labels.index(loss.topic), loss.partition, loss.first, loss.by))


def _in_lake(settings: Settings, fleet: FleetSpec, labels: Sequence[str]) -> list[Loss]:
    import pyarrow.dataset as ds

    if table_version(settings, fleet.fleet, "gaps") is None:
        return []
    columns = ["topic", "partition", "first_offset", "last_offset", "accepted_at"]
    rows = read_table(settings, fleet.fleet, "gaps", columns, ds.field("topic").isin(list(labels))).to_pylist()
    # a killed landing has noted a gap that may have grown since: the longer row comes last and counts
    gaps = {(r["topic"], r["partition"], r["first_offset"]): r for r in sorted(rows, key=lambda r: r["last_offset"])}
    return [Loss(*at, r["last_offset"], r["accepted_at"]) for at, r in gaps.items()]


def _is_elsewhere(bronze: ds.Dataset | None, loss: Loss, begin: datetime, end: datetime) -> bool:
    import pyarrow.dataset as ds

    if bronze is None:
        return False
    mine = (ds.field("topic") == loss.topic) & (ds.field("partition") == loss.partition)
    places = [(ds.field("offset") < loss.first) & (ds.field("broker_ts") >= end)]
    if loss.last is not None:
        places.append((ds.field("offset") > loss.last) & (ds.field("broker_ts") < begin))
    return any(bronze.head(1, columns=["offset"], filter=mine & where).num_rows for where in places)
