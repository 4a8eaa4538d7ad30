"""Labels from outcomes, as column expressions.

A row is labelled with what came after it in its run, known by now:
- a run that failed: the remaining useful life (in the task's unit, capped), or whether the failure came within the horizon;
- a run that goes on, or was repaired or retired first (censored): the cap, or 0, where the row was watched for so long; else null;
- rows after the failure: null.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aimaas.fleet import FleetSpec, RemainingUsefulLife

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

ENDS = ("failure_order", "end_order")


def run_ends(outcomes: DataFrame) -> DataFrame:
    """The first failure and the first repair or retirement of each run, as order keys: device_id, run, `ENDS`."""
    from pyspark.sql import functions as f

    failed = f.col("kind") == "failed"
    return outcomes.groupBy("device_id", "run").agg(
        f.min(f.when(failed, f.col("order"))).alias("failure_order"),
        f.min(f.when(~failed, f.col("order"))).alias("end_order"),
    )


def with_labels(fleet: FleetSpec, rows: DataFrame, outcomes: DataFrame) -> DataFrame:
    """Rows (device_id, run, order, …) with `label` (nullable double) and `failure_order` of their run."""
    from pyspark.sql import Window
    from pyspark.sql import functions as f

    newest = f.max("order").over(Window.partitionBy("device_id", "run"))
    return (
        rows.join(run_ends(outcomes), ["device_id", "run"], "left")
        .withColumn("newest_order", newest)
        .withColumn("label", label(fleet))
        .drop("newest_order", "end_order")
    )


def label(fleet: FleetSpec) -> Column:
    """The label of a row that has order, failure_order, end_order (null where there is none) and newest_order of its run."""
    from pyspark.sql import functions as f

    task, step = fleet.task, fleet.order_units_per_step
    order, failure, end = (f.col(name) for name in ("order", *ENDS))
    fails = failure.isNotNull() & (order <= failure) & (end.isNull() | (end >= failure) | (end < order))
    watched = f.when(order <= end, end).otherwise(f.col("newest_order")) - order
    if isinstance(task, RemainingUsefulLife):
        failing, alive = f.least((failure - order) / f.lit(step), f.lit(task.cap)), f.lit(task.cap)
        needed = task.cap * step
    else:
        needed = task.horizon * step
        failing, alive = f.when(failure - order <= needed, 1.0).otherwise(0.0), f.lit(0.0)
    return f.when(fails, failing).when((order <= f.coalesce(failure, order)) & (watched >= needed), alive)
