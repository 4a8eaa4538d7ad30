"""Lives of the corrected view out of rows and outcomes, and labels and weights of rows that come in any order.

The rules are those of `aimaas.lifetimes.labels` and `aimaas.censoring`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from aimaas.censoring import Censoring, Places, Watched, labelled
from aimaas.fleet import FleetSpec
from aimaas.lifetimes import NEVER
from aimaas.training_set import CensoringInfo

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import Column, DataFrame

LIFE = ("device_id", "run", "life_number")
ENDS = ("life_first", "life_newest", "failure_order", "end_order")  # order keys of a row's life


def run_ends(outcomes: DataFrame) -> DataFrame:
    """What the lives of each run ended in: device_id, run, `life_ends`, an array of (order, failed) that rises.

    Of outcomes with one order a failure counts.
    """
    from pyspark.sql import functions as f

    ended = outcomes.groupBy("device_id", "run", "order").agg(f.max(f.col("kind") == "failed").alias("failed"))
    ends = f.array_sort(f.collect_list(f.struct("order", "failed")))
    return ended.groupBy("device_id", "run").agg(ends.alias("life_ends"))


def numbered(rows: DataFrame, ends: DataFrame) -> DataFrame:
    """The rows with their `life_number` in the run, and the run's `life_ends` (null where there are none)."""
    from pyspark.sql import functions as f

    return rows.join(ends, ["device_id", "run"], "left").withColumn("life_number", _ended_before(f.col("order")))


def _ended_before(order: Column) -> Column:
    """How many lives of the run ended before `order`."""
    from pyspark.sql import functions as f

    before = f.filter("life_ends", lambda end: end["order"] < order)
    return f.when(f.col("life_ends").isNull(), 0).otherwise(f.size(before))


def lives_of(rows: DataFrame, ends: DataFrame) -> DataFrame:
    """The lives that have rows: `LIFE`, and their `ENDS`, null where a life has none."""
    from pyspark.sql import functions as f

    found = numbered(rows.select("device_id", "run", "order"), ends).groupBy(*LIFE)
    lives = found.agg(
        f.min("order").alias("life_first"), f.max("order").alias("life_newest"), f.first("life_ends").alias("life_ends")
    )
    end = f.get("life_ends", f.col("life_number"))
    failure, other = (f.when(condition, end["order"]) for condition in (end["failed"], ~end["failed"]))
    return lives.select(*LIFE, "life_first", "life_newest", failure.alias("failure_order"), other.alias("end_order"))


def with_lives(rows: DataFrame, ends: DataFrame, lives: DataFrame) -> DataFrame:
    """The rows, each with its life among `lives`, which are those of `ends`."""
    return numbered(rows, ends).join(lives, list(LIFE))


def censoring_of(fleet: FleetSpec, lives: DataFrame) -> Censoring:
    """The censoring of these lives, which the driver holds: four numbers a life."""
    found = lives.select("life_number", *ENDS).toArrow().combine_chunks()
    first, newest, failure, end = (order_keys(found[name].combine_chunks()) for name in ENDS)
    until = np.where(failure != NEVER, failure, np.where(end != NEVER, end, newest))
    order = np.lexsort((failure, end, newest, first))  # Spark gives them in any order
    return Censoring.of(fleet, Watched(first, until, failure != NEVER, found["life_number"].to_numpy() > 0).at(order))


def order_keys(column: pa.Array) -> npt.NDArray[np.int64]:
    """Order keys (n,), NEVER for null."""
    keys: npt.NDArray[np.int64] = column.fill_null(NEVER).to_numpy(zero_copy_only=False)
    return keys


def places_of(rows: pa.RecordBatch) -> Places:
    """Where rows lie in their lives; they have the columns order, life_number and `ENDS`."""
    order, first, newest, failure, end = (order_keys(rows[name]) for name in ("order", *ENDS))
    return Places(order, first, newest, failure, end, rows["life_number"].to_numpy() > 0)


def label_rows(
    fleet: FleetSpec, censoring: Censoring
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """The function for `mapInArrow`: rows with the columns order, life_number, `ENDS`, split and features in, in any order.

    Out go those that have a label and are not cut: device_id, run, order, split, label, weight, features.
    """

    def passed(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        for rows in batches:
            label, weight = labelled(fleet, censoring, places_of(rows))
            made: dict[str, Any] = {"label": _floats(label), "weight": _floats(weight)}
            names = ["device_id", "run", "order", "split", "label", "weight", "features"]
            columns = [made[name] if name in made else rows[name] for name in names]
            yield pa.RecordBatch.from_arrays(columns, names).filter(pa.array(~np.isnan(label)))

    return passed


def censoring_info(fleet: FleetSpec, rows: DataFrame, censoring: Censoring) -> CensoringInfo:
    """What becomes of rows of gold with their lives: how many have no label yet, and how many are cut."""
    info = CensoringInfo(censoring.clock, censoring.lives, censoring.failures)
    if not censoring.is_any:
        return info

    def counted(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        for batch in batches:
            _, weight = labelled(fleet, censoring, places_of(batch))
            yield pa.RecordBatch.from_pydict(
                {"unknown": [int(np.isnan(weight).sum())], "cut": [int((weight == 0).sum())]}
            )

    columns = rows.select("order", "life_number", *ENDS)
    found = columns.mapInArrow(counted, "unknown bigint, cut bigint").groupBy().sum("unknown", "cut").first()
    assert found is not None  # noqa: S101  an aggregation without groups has one row
    return CensoringInfo(censoring.clock, censoring.lives, censoring.failures, found[0] or 0, found[1] or 0)


def _floats(values: npt.NDArray[np.float64]) -> pa.Array:
    import pyarrow as pa

    return pa.array(values.astype(np.float32))
