"""How runs ended, out of the outcomes, and labels of rows that come in any order; the rules are `aimaas.lifetimes.labels`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from aimaas.fleet import FleetSpec
from aimaas.lifetimes import NEVER, labels

if TYPE_CHECKING:
    import pyarrow as pa
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


def order_keys(column: pa.Array) -> npt.NDArray[np.int64]:
    """Order keys (n,), NEVER for null."""
    keys: npt.NDArray[np.int64] = column.fill_null(NEVER).to_numpy(zero_copy_only=False)
    return keys


def label_rows(fleet: FleetSpec) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """The function for `mapInArrow`: rows with the columns order, newest (of the run), `ENDS`, split and features in, in any order.

    Out go those that have a label: device_id, run, order, split, label, features.
    """

    def labelled(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        for rows in batches:
            label = labels(fleet, *(order_keys(rows[name]) for name in ("order", "newest", *ENDS)))
            column = pa.array(label.astype(np.float32))
            names = ["device_id", "run", "order", "split", "label", "features"]
            columns = [column if name == "label" else rows[name] for name in names]
            yield pa.RecordBatch.from_arrays(columns, names).filter(pa.array(~np.isnan(label)))

    return labelled
