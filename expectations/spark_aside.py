"""Rows in Spark that fail an expectation, noted in quarantine as `expectations.set_aside` notes few; none comes to this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from aimaas.fleet import FleetSpec
from aimaas.lake import partitioned_by, table_path, table_version
from aimaas.settings import Settings
from expectations.parts import PLACE, Part
from expectations.set_aside import note, notes_table, told
from expectations.suite import Expected

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

WHICH = "__which"
_NOTES = (
    "topic string, partition int, offset bigint, broker_ts timestamp, reason string, detail string, key binary, value binary, "
    "value_bytes bigint, value_sha256 string, day date"
)


def note_failing(
    settings: Settings, fleet: FleetSpec, failing: DataFrame, part: Part, expected: Sequence[Expected]
) -> int:
    """Note the rows of silver in quarantine; how many were new.

    A row stands in `failing` once for each expectation that it fails, whose place in `expected` is in the column `WHICH`.
    """
    from pyspark import StorageLevel
    from pyspark.sql import functions as f

    rows = failing.groupBy(*(c for c in failing.columns if c != WHICH)).agg(
        f.sort_array(f.collect_set(WHICH)).alias(WHICH)
    )
    path = table_path(settings, fleet.fleet, "quarantine")
    if table_version(settings, fleet.fleet, "quarantine") is not None:
        quarantine = (
            failing.sparkSession.read.format("delta").load(path).where(part.of_quarantine(set_aside=True).spark())
        )
        rows = rows.join(quarantine.select(*PLACE), list(PLACE), "left_anti")
    notes = rows.mapInArrow(_notes(expected), _NOTES).persist(StorageLevel.DISK_ONLY)
    count = int(notes.count())
    if count:
        notes.write.format("delta").mode("append").partitionBy(*partitioned_by("quarantine")).save(path)
    notes.unpersist()
    return count


def _notes(expected: Sequence[Expected]) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """The function for `mapInArrow`: failing rows in, rows of quarantine out."""

    def noted(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            rows = batch.to_pylist()
            yield from notes_table(
                [note(row, told([expected[i] for i in row[WHICH]], row)) for row in rows]
            ).to_batches()

    return noted
