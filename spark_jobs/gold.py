"""Gold: the rows of the corrected view, with their split; each run appends what came since the last.

The corrected view has the rows of silver and, beside them, the events in quarantine that came late but within `limits.lateness_s`;
of rows with one (device, run, order) it has the first that the broker received. Where a run begins and what a label is follow from
rows beside it and from outcomes: readers compute that (`aimaas.lifetimes`), so what is stored never changes. The commit's note says
what a version is made of; outcomes that come late make a version without new rows.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Literal

import msgspec

from aimaas.fleet import FleetSpec, Split
from aimaas.lake import Held, Offsets, Table, held, row_count, table_version
from aimaas.split import HEX_DIGITS, split_bounds
from spark_jobs.commits import commit, note_of
from spark_jobs.gold_state import keep_state, newest_keys, newest_of
from spark_jobs.job import Job, Report, parser, run
from spark_jobs.late import late_columns, late_rows
from spark_jobs.session import read_version
from spark_jobs.sources import Sources, find_sources, read_sources

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

APP_ID = "gold"
KEY = ("device_id", "run", "order")
_PLACE = "place among rows of one key"
_PARTS: tuple[Table, Table] = ("silver", "quarantine")


def between(start: Offsets, end: Offsets) -> Column:
    """Condition: the row's offset lies in [start, end) of its topic and partition; a partition that `start` lacks begins at 0."""
    from pyspark.sql import functions as f

    parts = [
        (f.col("topic") == topic)
        & (f.col("partition") == p)
        & f.col("offset").between(start.get((topic, p), 0), stop - 1)
        for (topic, p), stop in sorted(end.items())
        if stop > start.get((topic, p), 0)
    ]
    return reduce(or_, parts, f.lit(False))


def split(shares: Split) -> Column:
    """The device's split, as `aimaas.split.split_of` has it."""
    from pyspark.sql import functions as f

    digits = f.substring(f.sha2(f.col("device_id").cast("binary"), 256), 1, HEX_DIGITS)
    point = f.conv(digits, 16, 10).cast("double") / float(16**HEX_DIGITS)
    *others, (last, _) = split_bounds(shares)
    column = f.lit(last)
    for name, end in reversed(others):
        column = f.when(point < end, name).otherwise(column)
    return column


def received(fleet: FleetSpec, silver: DataFrame, quarantine: DataFrame) -> DataFrame:
    """Served and late rows as gold's; of rows with one key the first that was received, each device's in order."""
    from pyspark.sql import Window
    from pyspark.sql import functions as f

    names = list(late_columns(fleet))
    served = silver.select(*names, f.lit(False).alias("late"))
    rows = served.unionByName(late_rows(fleet, quarantine).withColumn("late", f.lit(True)))
    same_key = Window.partitionBy(*KEY).orderBy("broker_ts", "topic", "partition", "offset")
    columns = [*KEY, "seq", "ts", *fleet.readings, "split", "late", "topic", "partition", "offset", "broker_ts"]
    return (
        rows.repartition("device_id")
        .withColumn("split", split(fleet.split))
        .select(*columns, f.row_number().over(same_key).alias(_PLACE))
        .where(f.col(_PLACE) == 1)
        .drop(_PLACE)
    )


def not_there_yet(rows: DataFrame, newest: DataFrame, there: DataFrame) -> DataFrame:
    """The rows whose keys gold does not hold. Only those not newer than their device's `newest` key are looked for `there`."""
    from pyspark.sql import functions as f

    known = newest.select("device_id", f.struct("run", "order").alias("newest"))
    older = rows.join(known, "device_id").where(f.struct("run", "order") <= f.col("newest")).select(*KEY)
    low, high = (older.agg(*(side(name).alias(name) for name in ("run", "order"))).first() for side in (f.min, f.max))
    if low is None or high is None or low["run"] is None:
        return rows
    # files whose statistics exclude such keys are not read
    near = f.col("run").between(low["run"], high["run"]) & f.col("order").between(low["order"], high["order"])
    doubled = there.where(near).select(*KEY).join(f.broadcast(older), list(KEY), "left_semi")
    return rows.join(f.broadcast(doubled), list(KEY), "left_anti")


def all_rows(job: Job, start: Offsets, end: Offsets) -> DataFrame:
    """The rows of the corrected view that were received at offsets in [start, end)."""
    settings, fleet = job.settings, job.fleet
    silver, quarantine = (
        read_version(job.spark, settings, fleet, table, table_version(settings, fleet.fleet, table) or 0)
        for table in _PARTS
    )
    here = between(start, end)
    return received(fleet, silver.where(here), quarantine.where(here))


def write_whole(job: Job, seen: Held, now: Sources) -> None:
    """Write gold from its beginning."""
    _commit(job, seen, now, all_rows(job, {}, now.offsets), "overwrite")
    keep_state(job, now, newest_of(_gold(job, table_version(job.settings, job.fleet.fleet, "gold") or 0)))


def go_on(job: Job, seen: Held, before: Sources, now: Sources) -> None:
    """Append what gold, made of `before`, lacks of `now`; an empty commit where only outcomes came."""
    there = _gold(job, seen.version or 0)
    if before.rows_digest == now.rows_digest:
        _commit(job, seen, now, there.limit(0), "append")
        return
    newest = newest_keys(job, before, there)
    came = all_rows(job, before.offsets, now.offsets).persist()
    _commit(job, seen, now, not_there_yet(came, newest, there), "append")
    keep_state(job, now, newest_of(newest.unionByName(came.select(*KEY))))
    came.unpersist()


def _gold(job: Job, version: int) -> DataFrame:
    return read_version(job.spark, job.settings, job.fleet, "gold", version)


def _commit(job: Job, seen: Held, now: Sources, rows: DataFrame, mode: Literal["append", "overwrite"]) -> None:
    note = msgspec.json.encode(now).decode()
    commit(job.settings, job.fleet, "gold", APP_ID, rows, seen, note, mode)


def gold(job: Job) -> Report:
    """Bring gold up to what was admitted and to the outcomes; whole where what the fleet file says of it has changed."""
    settings, fleet = job.settings, job.fleet
    now, seen = find_sources(settings, fleet), held(settings, fleet.fleet, "gold", APP_ID)
    before, rows = read_sources(note_of(seen)), row_count(settings, fleet.fleet, "gold")
    if before is None or not now.goes_on_from(before):
        write_whole(job, seen, now)
    elif before != now:
        go_on(job, seen, before, now)
    after = row_count(settings, fleet.fleet, "gold")
    return {"version": table_version(settings, fleet.fleet, "gold"), "rows": after, "added": after - rows}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; the exit code."""
    return run("gold", parser("gold", __doc__).parse_args(argv), gold)


if __name__ == "__main__":
    sys.exit(main())
