"""The corrected view as frames: served and late rows together, one row for each device, run and order."""

from __future__ import annotations

from functools import reduce
from operator import and_, or_
from typing import TYPE_CHECKING

from aimaas.fleet import FleetSpec, Split
from aimaas.lake import Offsets
from aimaas.training.split import HEX_DIGITS, split_bounds
from spark_jobs.corrected_view.late import history_rows, late_columns, late_rows

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

KEY = ("device_id", "run", "order")
_PLACE = "place among rows of one key"
_FEW = 200_000  # about 10 MB of ids and keys


def between(start: Offsets, end: Offsets) -> Column:
    """Condition: the row's offset lies in [start, end) of its topic and partition; a partition not in `start` begins at 0."""
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
    """The split of the device, equal to `aimaas.training.split.split_of`."""
    from pyspark.sql import functions as f

    digits = f.substring(f.sha2(f.col("device_id").cast("binary"), 256), 1, HEX_DIGITS)
    point = f.conv(digits, 16, 10).cast("double") / float(16**HEX_DIGITS)
    *others, (last, _) = split_bounds(shares)
    column = f.lit(last)
    for name, end in reversed(others):
        column = f.when(point < end, name).otherwise(column)
    return column


def received(fleet: FleetSpec, silver: DataFrame, quarantine: DataFrame, history: DataFrame | None = None) -> DataFrame:
    """Served, late and backfilled rows with gold's columns, sorted by device. Of rows with one key, the first received stays."""
    from pyspark.sql import Window
    from pyspark.sql import functions as f

    names = list(late_columns(fleet))
    served = silver.select(*names, f.lit(False).alias("late"))
    rows = served.unionByName(late_rows(fleet, quarantine).withColumn("late", f.lit(True)))
    if history is not None:
        rows = rows.unionByName(history_rows(fleet, history).withColumn("late", f.lit(False)))
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
    """The rows whose keys gold does not hold. Only rows not newer than their device's `newest` key are looked for in `there`.

    A few such keys are broadcast to the workers, and gold is not shuffled. Many of them, as after a device's clock went wrong, do
    not pass through the driver.
    """
    from pyspark.sql import functions as f

    known = newest.select("device_id", f.struct("run", "order").alias("newest"))
    older, is_any = sent(rows.join(known, "device_id").where(f.struct("run", "order") <= f.col("newest")).select(*KEY))
    if not is_any:
        return rows
    ends = (f.struct(f.min(name).alias("low"), f.max(name).alias("high")).alias(name) for name in ("run", "order"))
    bounds = older.agg(*ends).first()
    assert bounds is not None  # noqa: S101  an aggregation without groups has one row
    # files whose statistics exclude such keys are not read
    near = reduce(and_, (f.col(name).between(bounds[name]["low"], bounds[name]["high"]) for name in ("run", "order")))
    doubled, is_any = sent(there.where(near).select(*KEY).join(older, list(KEY), "left_semi"))
    return rows.join(doubled, list(KEY), "left_anti") if is_any else rows


def sent(rows: DataFrame) -> tuple[DataFrame, bool]:
    """The rows, to be joined with many others, and whether there are any.

    If there are few, they are broadcast to the workers, so the other side is not shuffled. Nothing is cached.
    """
    from pyspark.sql import functions as f

    found = rows.limit(_FEW + 1).toArrow()
    few = len(found) <= _FEW
    return f.broadcast(rows.sparkSession.createDataFrame(found)) if few else rows, len(found) > 0
