"""Computes the fit from the training devices: regimes from a sample, moments from parts that Spark's workers sum.

The rows of a part have a fixed order and are summed in chunks of a fixed size. Parts and chunks are merged in order. So the fit has
the same bits however Spark cuts the work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from aimaas.errors import TrainingRefusedError
from aimaas.fleet import FleetSpec
from aimaas.kernel.fit import Fit, Matrix, Moments, Regimes, channel_matrix, finish, moments
from aimaas.kernel.plan import FeaturePlan
from aimaas.kernel.regimes import find_regimes

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

_SAMPLE = 20_000  # rows from which regimes are found
_PARTS = 64
_CHUNK = 8_192  # rows
_SUMS = "part int, chunk int, count binary, total binary, squares binary"


def fit_of(fleet: FleetSpec, plan: FeaturePlan, train: DataFrame) -> Fit:
    """The fit of all rows of the training devices. Raises TrainingRefusedError if there are none."""
    shift = _shift(fleet, plan)
    regimes = _regimes(fleet, plan, train)
    parts = _sums(plan, regimes, shift, train)
    if not parts:
        raise TrainingRefusedError(f"fleet {fleet.fleet}: gold has no row of a training device; wait for more devices")
    return finish(regimes, parts)


def _shift(fleet: FleetSpec, plan: FeaturePlan) -> npt.NDArray[np.float64]:
    """A value near the mean of each channel, which keeps the digits of the sums: the channel at the middle of all ranges."""
    middle = np.array([[sum(r.range) / 2 for r in fleet.reading_specs]])
    with np.errstate(divide="ignore", invalid="ignore"):
        channels = channel_matrix(plan, middle)[0]
    shift: npt.NDArray[np.float64] = np.where(np.isfinite(channels), channels, 0.0)
    return shift


def _regimes(fleet: FleetSpec, plan: FeaturePlan, train: DataFrame) -> Regimes:
    if not plan.settings:
        return find_regimes(plan, np.zeros((0, len(plan.readings))), fleet.training.seed)
    from pyspark.sql import functions as f

    keys = ["device_id", "run", "order"]
    drawn = train.orderBy(f.xxhash64(*keys), *keys).limit(_SAMPLE).select(*plan.readings)
    return find_regimes(plan, matrix(drawn.toArrow().combine_chunks(), plan), fleet.training.seed)


def _sums(plan: FeaturePlan, regimes: Regimes, shift: Matrix, train: DataFrame) -> list[Moments]:
    from pyspark.sql import functions as f

    part = f.pmod(f.xxhash64("device_id"), f.lit(_PARTS)).cast("int").alias("part")
    found = (
        train.select(part, "device_id", "run", "order", *plan.readings)
        .repartition("part")
        .sortWithinPartitions("part", "device_id", "run", "order")
        .mapInArrow(sum_parts(plan, regimes, shift), _SUMS)
        .collect()
    )
    return [_moments_of(row, regimes, shift) for row in sorted(found, key=lambda row: (row["part"], row["chunk"]))]


def _moments_of(row: object, regimes: Regimes, shift: Matrix) -> Moments:
    shape = (len(regimes.centres), len(shift))
    count, total, squares = (np.frombuffer(row[c]).reshape(shape) for c in ("count", "total", "squares"))  # type: ignore[index]
    return Moments(count, total, squares, shift)


def sum_parts(
    plan: FeaturePlan, regimes: Regimes, shift: Matrix
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """The function for `mapInArrow`: takes rows sorted by part, returns the moments of each chunk."""

    def summed(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        for part, chunk, rows in _chunks(batches, plan):
            m = moments(plan, regimes, shift, rows)
            sums = {name: [getattr(m, name).tobytes()] for name in ("count", "total", "squares")}
            yield pa.RecordBatch.from_pydict(
                {"part": pa.array([part], pa.int32()), "chunk": pa.array([chunk], pa.int32()), **sums}
            )

    return summed


def _chunks(batches: Iterator[pa.RecordBatch], plan: FeaturePlan) -> Iterator[tuple[int, int, Matrix]]:
    """(part, number of the chunk within it, rows), cut every `_CHUNK` rows of a part, independent of the batches."""
    part, chunk, held = -1, 0, np.zeros((0, len(plan.readings)))
    for batch in batches:
        of, rows = batch["part"].to_numpy(), matrix(batch, plan)
        for this in np.unique(of):
            if this != part:
                if len(held):
                    yield part, chunk, held
                part, chunk, held = int(this), 0, held[:0]
            held = np.concatenate([held, rows[of == this]])
            while len(held) >= _CHUNK:
                yield part, chunk, held[:_CHUNK]
                chunk, held = chunk + 1, held[_CHUNK:]
    if len(held):
        yield part, chunk, held


def matrix(rows: pa.RecordBatch | pa.Table, plan: FeaturePlan) -> Matrix:
    """The readings of n rows, (n, R) float64, NaN for null."""
    columns = [np.asarray(rows[name].to_numpy(zero_copy_only=False), np.float64) for name in plan.readings]
    return np.stack(columns, axis=1) if len(rows) else np.zeros((0, len(plan.readings)))
