"""Runs a model over silver in Spark's Python workers, to get the predictions that the stream would have made.

All rows of a device come together, in the order of the stream. The kernel begins a new history at the rows where the stream
began one, which silver records. Features go through the scorer's own `predict`, which pads single rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aimaas.kernel.state import DeviceState
from aimaas.model.artefact import ModelMetadata
from aimaas.model.intervals import LOWER, UPPER
from aimaas.model.loaded import OpenModel, open_model
from spark_jobs.schemas import arrow_schema
from spark_jobs.training_sets.fitting import matrix
from spark_jobs.training_sets.whole_devices import whole_devices

if TYPE_CHECKING:
    import pyarrow as pa

KEPT = {
    "topic": "string", "partition": "int", "offset": "bigint", "broker_ts": "timestamp",
    "device_id": "string", "run": "bigint", "seq": "bigint", "ts": "timestamp",
}  # fmt: skip
COLUMNS = {**KEPT, "prediction": "float", LOWER: "float", UPPER: "float", "model_version": "string", "day": "date"}
_PIECE = 10_000  # rows per call of the kernel


@dataclass(frozen=True)
class Artefact:
    """A registered model as the workers get it; `cache` is a folder for optimised graphs, `where` names the model in errors."""

    content: bytes
    version: str
    metadata: ModelMetadata
    cache: Path
    where: str

    def open(self) -> OpenModel:
        """Open the model, check it, and run it once. Raises ModelRefusedError."""
        return open_model(self.content, self.version, self.metadata, self.metadata.plan, self.cache, self.where)


def predict_served(artefact: Artefact) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """The function for `mapInArrow`: takes ordered rows of silver with `day` and `wanted`, returns `COLUMNS` of the wanted rows."""

    def predicted(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        model = artefact.open()
        for rows in whole_devices(batches):
            yield from _advance(model, rows)

    return predicted


def _advance(model: OpenModel, rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Predictions of the wanted rows; `rows` hold whole devices."""
    plan, ids = model.metadata.plan, rows["device_id"].dictionary_encode()
    state = DeviceState(plan.readings, plan.window, plan.first)
    slots = state.slots(ids.dictionary.to_pylist())[ids.indices.to_numpy(zero_copy_only=False)]
    begins = rows["begins"].to_numpy(zero_copy_only=False).astype(np.bool_)
    for at in range(0, len(rows), _PIECE):  # one device may have millions of rows
        piece, part = slice(at, at + _PIECE), rows.slice(at, _PIECE)
        values = matrix(part, plan).astype(np.float32)
        features = model.kernel.advance(state, slots[piece], values, begins[piece])
        wanted = part["wanted"].to_numpy(zero_copy_only=False).astype(np.bool_)
        if wanted.any():
            yield _answered(model, part, wanted, features)


def _answered(model: OpenModel, rows: pa.RecordBatch, wanted: Any, features: Any) -> pa.RecordBatch:
    """The wanted rows with the model's predictions; null if the result is not finite and thus no prediction."""
    import pyarrow as pa

    chosen = rows.filter(pa.array(wanted))
    answers = model.predict(np.ascontiguousarray(features[wanted]))
    nothing = ~np.isfinite(answers)
    said = [pa.array(np.asarray(given), pa.float32(), mask=nothing) for given in (answers, *model.interval(answers))]
    columns: list[Any] = [chosen[name] for name in KEPT]
    columns += [*said, pa.repeat(model.version, len(chosen)), chosen["day"]]
    schema = arrow_schema(COLUMNS)
    arrays = [
        c.cast(kind) if isinstance(c, pa.Array) else pa.array(c, kind)
        for c, kind in zip(columns, schema.types, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
