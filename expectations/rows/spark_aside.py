"""Notes failing rows in quarantine, in Spark: as `expectations.set_aside` does for a few rows. No row comes to this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from aimaas.fleet import FleetSpec
from aimaas.lake import partitioned_by, table_path, table_version
from aimaas.settings import Settings
from expectations.rows.parts import PLACE, Part
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
    """Note the rows of silver in quarantine; returns how many were new.

    `failing` has a row once for each expectation that it fails; the column `WHICH` has the expectation's position in `expected`.
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
    """The function for `mapInArrow`: takes failing rows, returns rows of quarantine."""

    def noted(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            rows = batch.to_pylist()
            yield from notes_table(
                [note(row, told([expected[i] for i in row[WHICH]], row)) for row in rows]
            ).to_batches()

    return noted
