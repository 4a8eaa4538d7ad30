"""Which rows must go through the kernel when the table `features` is brought up to a newer gold.

A device whose new rows all come after its newest one goes on from its stored state. Otherwise rows that are there would come out
otherwise, so all of the device's rows go through anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aimaas.plan import FeaturePlan

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


_FEW = 200_000  # some 10 MB of ids and keys


def all_rows(plan: FeaturePlan, gold: DataFrame) -> DataFrame:
    """All rows of gold, for `table_pass`: each device begins."""
    return _in_order(_raw(plan, gold))


def new_rows(plan: FeaturePlan, gold: DataFrame, came: DataFrame, states: DataFrame) -> DataFrame:
    """Rows for `table_pass` where gold has gone on: `came` are the rows of gold that came since the `states` were stored.

    States of devices that nothing came of pass through as they are.
    """
    late, is_any = sent(late_devices(came, states))
    if is_any:  # else gold is not looked through
        whole = gold.join(late, "device_id", "left_semi")
        came = came.join(late, "device_id", "left_anti").unionByName(whole)
        states = states.join(late, "device_id", "left_anti")
    return _in_order(_raw(plan, came).unionByName(_stored(plan, states)))


def late_devices(came: DataFrame, states: DataFrame) -> DataFrame:
    """Devices (device_id) with a row among those that `came` which changes what was before it.

    That is a row with a key not after the device's newest, or one that the broker took earlier than the newest: its time may end a
    silence that the rows before it were thought to have kept (`aimaas.lifetimes.beginnings`).
    """
    from pyspark.sql import functions as f

    key = f.struct("run", "order")
    first = came.groupBy("device_id").agg(f.min(key).alias("first"), f.min("broker_ts").alias("taken"))
    before = states.select("device_id", key.alias("newest"), f.col("broker_ts").alias("newest_taken"))
    changes = (f.col("first") <= f.col("newest")) | (f.col("taken") < f.col("newest_taken"))
    return first.join(before, "device_id").where(changes).select("device_id")


def sent(rows: DataFrame) -> tuple[DataFrame, bool]:
    """The rows, to be joined with many others, and whether there are any.

    Few are fetched and go to every worker, so that the others stay where they are; nothing is cached that would have to be let go.
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
    """Whole devices in order; a stored state has the key of the newest row before, so it comes first."""
    return rows.repartition("device_id").sortWithinPartitions("device_id", "run", "order")
