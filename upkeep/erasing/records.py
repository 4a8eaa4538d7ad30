"""Finds the records of a device in the lake, by their coordinates, and erases them.

Rows are erased by writing the other rows again, not by a DELETE. The log of a DELETE would name the device, and delta-rs would
write files with Arrow's view types, which the filters of pyarrow datasets do not support.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from typing import TYPE_CHECKING, Any

from aimaas.errors import LakeError
from aimaas.fleet import FleetSpec
from aimaas.lake import Table, arrow_dataset, find_table, partitioned_by
from aimaas.lake.erased_records import Place
from aimaas.settings import Settings
from upkeep.erasing.device import Device
from upkeep.maintenance.tables import JOBS, commit_properties

if TYPE_CHECKING:
    from deltalake import DeltaTable

PLACE = ["topic", "partition", "offset"]


def id_column(found: DeltaTable) -> str | None:
    """Return the column that holds the device of a row; None if there is no such column."""
    names = [field.name for field in found.schema().fields]
    return next((name for name in ("device_id", "key") if name in names), None)


def find_records(found: DeltaTable, device: Device, astray: Iterable[Place] = ()) -> dict[Place, date]:
    """Return coordinates and days of the device's records in a table, and of the records `astray`, which have another key."""
    import pyarrow.dataset as ds

    column, names = id_column(found), [field.name for field in found.schema().fields]
    if column is None or not {*PLACE, "broker_ts"} <= set(names):
        return {}
    mine = _mine(column, device)
    for topic, partition, offset in astray:
        mine |= (ds.field("topic") == topic) & (ds.field("partition") == partition) & (ds.field("offset") == offset)
    return dict(_places(found, [*PLACE, "broker_ts"], mine))


def find_astray(found: DeltaTable, device: Device) -> dict[Place, date]:
    """Return the records in quarantine that name the device but have another key."""
    import pyarrow.dataset as ds

    others = ds.field("key").is_null() | (ds.field("key") != device.key)
    columns = [*PLACE, "broker_ts", "key", "value"]
    return dict(_places(found, columns, others & ds.field("value").is_valid(), device))


def _places(
    found: DeltaTable, columns: list[str], condition: Any, naming: Device | None = None
) -> Iterator[tuple[Place, date]]:
    for batch in arrow_dataset(found).to_batches(columns=columns, filter=condition):
        for row in batch.to_pylist():
            if naming is None or naming.is_of(row["key"], row["value"]):
                yield (row["topic"], row["partition"], row["offset"]), row["broker_ts"].date()


def count_records(found: DeltaTable, device: Device) -> int:
    """Return the number of rows of the device in a table without coordinates."""
    column = id_column(found)
    return 0 if column is None else int(arrow_dataset(found).count_rows(filter=_mine(column, device)))


def erase_records(
    settings: Settings, fleet: FleetSpec, table: Table, device: Device, astray: Iterable[Place] = ()
) -> None:
    """Erase the device's rows from the newest version of a table, and the rows `astray`.

    The Kafka partitions with such rows are written again, or the whole table if it is not partitioned by them. Raises LakeError if
    jobs keep committing in between.
    """
    found = find_table(settings, fleet.fleet, table)
    column = None if found is None else id_column(found)
    if found is None or column is None:
        return
    if partitioned_by(table) != PLACE[:2]:
        _rewrite(settings, fleet, table, _others(column, device), None)
        return
    rows = arrow_dataset(found).to_table(columns=PLACE[:2], filter=_mine(column, device))
    parts = {*zip(rows["topic"].to_pylist(), rows["partition"].to_pylist(), strict=True), *(p[:2] for p in astray)}
    for topic, partition in sorted(parts):
        offsets = [place[2] for place in astray if place[:2] == (topic, partition)]
        _rewrite(settings, fleet, table, _others(column, device, offsets), (topic, partition))


def _rewrite(
    settings: Settings, fleet: FleetSpec, table: Table, kept: Any, part: tuple[str, int] | None, tries: int = 5
) -> None:
    """Replace all rows of one Kafka partition, or of the table, by the rows that are `kept`."""
    import pyarrow.dataset as ds
    from deltalake import write_deltalake
    from deltalake.exceptions import CommitFailedError

    where = None
    if part is not None:
        kept &= (ds.field("topic") == part[0]) & (ds.field("partition") == part[1])
        where = f"topic = '{part[0]}' AND partition = {part[1]}"
    for _ in range(tries):
        found = find_table(settings, fleet.fleet, table)
        assert found is not None  # noqa: S101  it was there a moment ago, and nothing deletes tables
        rows, how = arrow_dataset(found).scanner(filter=kept).to_reader(), commit_properties(found, JOBS.get(table))
        columns = partitioned_by(table) or None
        try:
            write_deltalake(found, rows, mode="overwrite", predicate=where, partition_by=columns, commit_properties=how)
        except CommitFailedError:
            continue  # a job committed in between: look again
        return
    raise LakeError(f"{fleet.fleet}/{table}: jobs keep committing; pause the fleet's DAGs, then run this command again")


def _mine(column: str, device: Device) -> Any:
    import pyarrow.dataset as ds

    return ds.field(column) == (device.id if column == "device_id" else device.key)


def _others(column: str, device: Device, offsets: list[int] | None = None) -> Any:
    """Condition: a row does not belong to the device, and is not at these offsets."""
    import pyarrow.dataset as ds

    others = ds.field(column).is_null() | (ds.field(column) != (device.id if column == "device_id" else device.key))
    return others & ~ds.field("offset").isin(offsets) if offsets else others
