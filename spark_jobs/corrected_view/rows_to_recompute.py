"""Selects the rows that the kernel must process to bring the table `features` up to a newer gold.

A device whose new rows all come after its newest row continues from its stored state. Otherwise existing rows would change, so all
rows of the device are processed again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aimaas.kernel.plan import FeaturePlan

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


_FEW = 200_000  # about 10 MB of ids and keys


def all_rows(plan: FeaturePlan, gold: DataFrame) -> DataFrame:
    """All rows of gold, for `table_pass`: each device starts without state."""
    return _in_order(_raw(plan, gold))


def new_rows(plan: FeaturePlan, gold: DataFrame, came: DataFrame, states: DataFrame) -> DataFrame:
    """Rows for `table_pass` when gold has grown: `came` are the rows of gold since the `states` were stored.

    States of devices without new rows pass through unchanged.
    """
    late, is_any = sent(late_devices(came, states))
    if is_any:  # without late devices gold is not read
        whole = gold.join(late, "device_id", "left_semi")
        came = came.join(late, "device_id", "left_anti").unionByName(whole)
        states = states.join(late, "device_id", "left_anti")
    return _in_order(_raw(plan, came).unionByName(_stored(plan, states)))


def late_devices(came: DataFrame, states: DataFrame) -> DataFrame:
    """Devices (device_id) with a new row in `came` that changes earlier rows.

    Such a row has a key not after the device's newest key, or the broker received it earlier than the newest row: its time may end
    a silence that the earlier rows seemed to keep (`aimaas.labels.lifetimes.beginnings`).
    """
    from pyspark.sql import functions as f

    key = f.struct("run", "order")
    first = came.groupBy("device_id").agg(f.min(key).alias("first"), f.min("broker_ts").alias("taken"))
    before = states.select("device_id", key.alias("newest"), f.col("broker_ts").alias("newest_taken"))
    changes = (f.col("first") <= f.col("newest")) | (f.col("taken") < f.col("newest_taken"))
    return first.join(before, "device_id").where(changes).select("device_id")


def sent(rows: DataFrame) -> tuple[DataFrame, bool]:
    """The rows, to be joined with many others, and whether there are any.

    If there are few, they are broadcast to the workers, so the other side is not shuffled. Nothing is cached.
    """
    from pyspark.sql import functions as f

    found = rows.limit(_FEW + 1).toArrow()
    few = len(found) <= _FEW
    return f.broadcast(rows.sparkSession.createDataFrame(found)) if few else rows, len(found) > 0


def _raw(plan: FeaturePlan, rows: DataFrame) -> DataFrame:
    from pyspark.sql import functions as f

    nothing = [f.lit(None).cast(kind).alias(name) for name, kind in (("state", "binary"), ("since", "bigint"))]
    return rows.select("device_id", "run", "order", "broker_ts", "split", *plan.readings, *nothing)


def _stored(plan: FeaturePlan, states: DataFrame) -> DataFrame:
    from pyspark.sql import functions as f

    readings = [f.lit(None).cast("double").alias(name) for name in plan.readings]
    return states.select("device_id", "run", "order", "broker_ts", "split", *readings, "state", "since")


def _in_order(rows: DataFrame) -> DataFrame:
    """Whole devices in order. A stored state has the key of the newest earlier row, so it comes first."""
    return rows.repartition("device_id").sortWithinPartitions("device_id", "run", "order")
