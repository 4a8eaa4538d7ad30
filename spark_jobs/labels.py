"""How runs ended, out of the outcomes; what follows for a row is said by `aimaas.lifetimes.labels`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

ENDS = ("failure_order", "end_order")


def run_ends(outcomes: DataFrame) -> DataFrame:
    """The first failure and the first repair or retirement of each run, as order keys: device_id, run, `ENDS`."""
    from pyspark.sql import functions as f

    failed = f.col("kind") == "failed"
    return outcomes.groupBy("device_id", "run").agg(
        f.min(f.when(failed, f.col("order"))).alias("failure_order"),
        f.min(f.when(~failed, f.col("order"))).alias("end_order"),
    )
