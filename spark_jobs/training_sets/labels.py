"""Lives of the corrected view from rows and outcomes, and labels and weights of rows.

The rules are those of `aimaas.labels.lifetimes.labels` and `aimaas.labels.censoring`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import numpy.typing as npt

from aimaas.fleet import FleetSpec
from aimaas.fleet.candidate_families import CENSORED_FAMILIES
from aimaas.labels.censoring import Censoring, Places, Watched, labelled
from aimaas.labels.lifetimes import NEVER, bounds, labels
from aimaas.training.training_set import CensoringInfo
from spark_jobs.schemas import ENDS, LIFE

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import Column, DataFrame

COLUMNS = "device_id string, run bigint, `order` bigint, split string, label float, weight float, features array<float>"


def run_ends(outcomes: DataFrame) -> DataFrame:
    """How the lives of each run ended: device_id, run, `life_ends`, an ascending array of (order, failed).

    If several outcomes have one order, a failure counts.
    """
    from pyspark.sql import functions as f

    ended = outcomes.groupBy("device_id", "run", "order").agg(f.max(f.col("kind") == "failed").alias("failed"))
    ends = f.array_sort(f.collect_list(f.struct("order", "failed")))
    return ended.groupBy("device_id", "run").agg(ends.alias("life_ends"))


def _numbered(rows: DataFrame, ends: DataFrame) -> DataFrame:
    """The rows with their `life_number` in the run, and the run's `life_ends` (null without outcomes)."""
    from pyspark.sql import functions as f

    return rows.join(ends, ["device_id", "run"], "left").withColumn("life_number", _ended_before(f.col("order")))


def _ended_before(order: Column) -> Column:
    """The number of lives of the run that ended before `order`."""
    from pyspark.sql import functions as f

    before = f.filter("life_ends", lambda end: end["order"] < order)
    return f.when(f.col("life_ends").isNull(), 0).otherwise(f.size(before))


def lives_of(rows: DataFrame, ends: DataFrame) -> DataFrame:
    """The lives that have rows: `LIFE`, and their `ENDS`, null if a life has no such end."""
    from pyspark.sql import functions as f

    found = _numbered(rows.select("device_id", "run", "order"), ends).groupBy(*LIFE)
    lives = found.agg(
        f.min("order").alias("life_first"), f.max("order").alias("life_newest"), f.first("life_ends").alias("life_ends")
    )
    end = f.get("life_ends", f.col("life_number"))
    failure, other = (f.when(condition, end["order"]) for condition in (end["failed"], ~end["failed"]))
    return lives.select(*LIFE, "life_first", "life_newest", failure.alias("failure_order"), other.alias("end_order"))


def with_lives(rows: DataFrame, ends: DataFrame, lives: DataFrame) -> DataFrame:
    """The rows, each with its life from `lives`, which belong to `ends`."""
    return _numbered(rows, ends).join(lives, list(LIFE))


def censoring_of(fleet: FleetSpec, lives: DataFrame) -> Censoring:
    """The censoring of these lives. The driver holds four numbers for each life."""
    found = lives.select("life_number", *ENDS).toArrow().combine_chunks()
    first, newest, failure, end = (order_keys(found[name].combine_chunks()) for name in ENDS)
    until = np.where(failure != NEVER, failure, np.where(end != NEVER, end, newest))
    order = np.lexsort((failure, end, newest, first))  # Spark returns them in any order
    return Censoring.of(fleet, Watched(first, until, failure != NEVER, found["life_number"].to_numpy() > 0).at(order))


def order_keys(column: pa.Array) -> npt.NDArray[np.int64]:
    """Order keys (n,), NEVER in place of null."""
    keys: npt.NDArray[np.int64] = column.fill_null(NEVER).to_numpy(zero_copy_only=False)
    return keys


def places_of(rows: pa.RecordBatch) -> Places:
    """The positions of rows in their lives; the batch has the columns order, life_number and `ENDS`."""
    order, first, newest, failure, end = (order_keys(rows[name]) for name in ("order", *ENDS))
    return Places(order, first, newest, failure, end, rows["life_number"].to_numpy() > 0)


def columns_of(fleet: FleetSpec) -> str:
    """The columns of a training set's rows, as a Spark schema."""
    return f"{COLUMNS}, lower float, upper float" if _wants_bounds(fleet) else COLUMNS


def _wants_bounds(fleet: FleetSpec) -> bool:
    return any(name in CENSORED_FAMILIES for name in fleet.training.candidates)


def told(
    fleet: FleetSpec, censoring: Censoring, places: Places, features: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.bool_], dict[str, npt.NDArray[np.float32]]]:
    """The rows (n,) that the training set keeps, and columns for all rows: label, weight, and bounds if the fleet has them.

    A row is kept if it has a label and is not dropped. With bounds all rows are kept; the others have the label NaN and weight 0.
    """
    label, weight = labelled(fleet, censoring, places, features)
    kept, columns = ~np.isnan(label), {"label": label, "weight": weight}
    if _wants_bounds(fleet):
        columns["weight"] = np.where(kept, weight, 0.0)
        columns["lower"], columns["upper"] = bounds(fleet, places.order, places.newest, places.failure, places.end)
        kept = np.ones(len(label), np.bool_)
    return kept, {name: values.astype(np.float32) for name, values in columns.items()}


def features_in(rows: pa.RecordBatch) -> npt.NDArray[np.float32]:
    """The column `features` (n, F); the batch has at least one row."""
    flat: npt.NDArray[np.float32] = rows["features"].flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(len(rows), -1)


def censoring_info(fleet: FleetSpec, rows: DataFrame, censoring: Censoring, kept: int) -> CensoringInfo:
    """Counts of rows of gold with their lives, of which `kept` are labelled: rows without a label yet, and dropped rows."""
    by_readings = censoring.hazard is not None
    info = CensoringInfo(censoring.clock, censoring.lives, censoring.failures, by_readings=by_readings)
    if not censoring.is_any:
        return info

    def counted(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        for batch in batches:
            order, _, newest, failure, end, _ = places_of(batch)
            unknown = int(np.isnan(labels(fleet, order, newest, failure, end)).sum())
            yield pa.RecordBatch.from_pydict({"unknown": [unknown], "known": [len(batch) - unknown]})

    columns = rows.select("order", "life_number", *ENDS)
    found = columns.mapInArrow(counted, "unknown bigint, known bigint").groupBy().sum("unknown", "known").first()
    assert found is not None  # noqa: S101  an aggregation without groups has one row
    return msgspec.structs.replace(info, unknown=found[0] or 0, cut=(found[1] or 0) - kept)
