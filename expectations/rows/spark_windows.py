"""Cuts the rows of each device into windows, in Spark: like `expectations.rows.windows.cut`, for any number of rows.

With more than `MOST_ROWS` rows, whole devices are left out by the hash of their id; at least one device stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from expectations.rows.windows import MOST_ROWS, ORDER, Windows

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import Column, DataFrame

_DEVICE, _NEW, _BACK = "device_id", "__is_new", "__back"
_MOST_WINDOWS = 50_000  # a device with very many rows fills more: then windows are left out


def cut_in_spark(sensors: Sequence[str], rows: int, new: DataFrame, before: DataFrame | None, count: int) -> Windows:
    """Cut the rows of each device into windows of `rows` rows, the newest one full. `count` is the number of rows."""
    from pyspark.sql import functions as f

    every = _columns(new, sensors, is_new=True)
    if before is not None:
        every = every.unionByName(_columns(before, sensors, is_new=False))
    cut = _windows(_thinned(every, -(-count // MOST_ROWS)), sensors, rows).persist()
    back, came, full = cut.agg(f.sum("back"), f.sum("came"), f.sum(f.col("full").cast("long"))).first() or (0, 0, 0)
    every_nth = max(-(-(full or 0) // _MOST_WINDOWS), 1)
    kept = cut.where("full").where(f.pmod(f.xxhash64(_DEVICE, "window"), f.lit(every_nth)) == 0)
    found = kept.select(
        _DEVICE, "is_new", *(f"{what}_{c}" for c in range(len(sensors)) for what in ("low", "high", "mean"))
    )
    table = found.toArrow()
    cut.unpersist()
    low, high, mean = (_matrix(table, what, len(sensors)) for what in ("low", "high", "mean"))
    is_new, device = table["is_new"].to_numpy().astype(np.bool_), table[_DEVICE].to_numpy()
    return Windows(low, high, mean, is_new, device, (back or 0) / max(came or 0, 1))


def _columns(rows: DataFrame, sensors: Sequence[str], *, is_new: bool) -> DataFrame:
    from pyspark.sql import functions as f

    return rows.select(*ORDER, "ts", *sensors, f.lit(is_new).alias(_NEW))


def _thinned(rows: DataFrame, every_nth: int) -> DataFrame:
    """The rows of every n-th device by the hash of its id, and of the device with the smallest hash."""
    from pyspark.sql import functions as f

    if every_nth <= 1:
        return rows
    place = f.xxhash64(_DEVICE)
    least = rows.agg(f.min(place)).first()
    return rows.where((f.pmod(place, f.lit(every_nth)) == 0) | (place == f.lit(least[0] if least else None)))


def _windows(rows: DataFrame, sensors: Sequence[str], size: int) -> DataFrame:
    """One row for each window: whether it is full, its content, and how many of its rows are new or have a clock that went back."""
    from pyspark.sql import Window
    from pyspark.sql import functions as f

    newest_first = Window.partitionBy(_DEVICE).orderBy(f.desc("run"), f.desc("order"))
    place = f.row_number().over(newest_first) - 1
    back = f.coalesce(f.lead("ts").over(newest_first) > f.col("ts"), f.lit(False)) & f.col(_NEW)  # the row before it
    numbered = rows.select("*", f.floor(place / size).alias("window"), back.cast("long").alias(_BACK))
    whole = f.count(f.lit(1)) == size

    def known(name: str, value: Column) -> Column:
        """The value, if the window has no null."""
        return f.when(f.count(f.col(name)) == size, value)

    figures = [
        known(name, value(name).cast("double")).alias(f"{what}_{c}")
        for c, name in enumerate(sensors)
        for what, value in (("low", f.min), ("high", f.max), ("mean", f.avg))
    ]
    return numbered.groupBy(_DEVICE, "window").agg(
        whole.alias("full"), f.max(_NEW).alias("is_new"), f.sum(f.col(_NEW).cast("long")).alias("came"),
        f.sum(_BACK).alias("back"), *figures,
    )  # fmt: skip


def _matrix(table: pa.Table, what: str, sensors: int) -> npt.NDArray[np.float64]:
    """(n windows, S), NaN for null."""
    columns: list[Any] = [table[f"{what}_{c}"].to_numpy() for c in range(sensors)]
    return np.column_stack(columns).astype(np.float64) if columns else np.zeros((table.num_rows, 0))
