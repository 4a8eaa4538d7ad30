"""Finds which events of one day's backfill are in gold, for `aimaas reconcile`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from aimaas.admission.judge import Judge
from aimaas.fleet import FleetSpec
from aimaas.lake import arrow_dataset, find_table, read_table, table_version
from aimaas.lake.history import HISTORY, PLACE
from aimaas.lake.torn_files import reading
from aimaas.settings import Settings
from upkeep.reconcile.account import Codes, Gap, codes_of

if TYPE_CHECKING:
    import pyarrow as pa

_KEY = ["device_id", "run", "order"]
Key = tuple[str, int, int]


def backfilled_on(
    settings: Settings, fleet: FleetSpec, begin: datetime, end: datetime
) -> tuple[dict[str, int | None], list[Gap]]:
    """Return counts and gaps of events that were backfilled from `begin` on and before `end`; none without any. Raises LakeError.

    A row of gold also counts for another backfilled event with its device, run and order key. `refused` are events that the
    present fleet file does not admit.
    """
    import pyarrow.dataset as ds

    found = find_table(settings, fleet.fleet, "history")
    if found is None:
        return {}, []
    mine = (ds.field("broker_ts") >= begin) & (ds.field("broker_ts") < end)
    with reading(found.table_uri):
        rows = arrow_dataset(found).to_table(columns=["offset"], filter=mine)["offset"].to_numpy()
        if not len(rows):
            return {}, []
        others = np.setdiff1d(rows, _in_gold(settings, fleet))
        chosen = arrow_dataset(found).to_table(["offset", "key", "value"], ds.field("offset").isin(others) & mine)
    missing, refused = _account(settings, fleet, chosen)
    counts: dict[str, int | None] = {
        "backfilled": len(rows), "refused": len(refused), "in_gold": len(rows) - len(refused) - len(missing)
    }  # fmt: skip
    todo = f"run the DAG {fleet.fleet}_prepare; `aimaas gate show` says whether a gate holds them back"
    return counts, [Gap("backfilled and not in gold", _codes(missing), todo)] if len(missing) else []


def _in_gold(settings: Settings, fleet: FleetSpec) -> Any:
    """Return the offsets of backfilled rows in gold."""
    import pyarrow.dataset as ds

    if table_version(settings, fleet.fleet, "gold") is None:
        return np.empty(0, np.int64)
    rows = read_table(settings, fleet.fleet, "gold", ["offset"], ds.field("topic") == HISTORY)
    return rows["offset"].to_numpy()


def _account(settings: Settings, fleet: FleetSpec, rows: pa.Table) -> tuple[list[int], list[int]]:
    """Split rows whose offsets are not in gold: return the offsets of missing events, and of refused ones."""
    batch = Judge(fleet).decode(rows["key"].to_pylist(), rows["value"].to_pylist())
    offsets = rows["offset"].to_pylist()
    refused = [offsets[i] for i in np.flatnonzero(batch.reason).tolist()]
    keys: dict[int, Key] = {
        offsets[batch.at[row]]: (batch.device_ids[row], int(batch.run[row]), int(batch.order[row]))
        for row in batch.admitted.tolist()
    }
    there = _keys_in_gold(settings, fleet, sorted({key[0] for key in keys.values()}))
    return [offset for offset, key in keys.items() if key not in there], refused


def _keys_in_gold(settings: Settings, fleet: FleetSpec, devices: list[str]) -> set[Key]:
    import pyarrow.dataset as ds

    if not devices or table_version(settings, fleet.fleet, "gold") is None:
        return set()
    gold = read_table(settings, fleet.fleet, "gold", _KEY, ds.field("device_id").isin(devices))
    return set(zip(*(gold[name].to_pylist() for name in _KEY), strict=True))


def _codes(offsets: list[int]) -> Codes:
    return codes_of([PLACE[1]] * len(offsets), sorted(offsets))
