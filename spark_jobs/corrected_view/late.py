"""Late events, read back from quarantine, and backfilled events: the rows that the corrected view has in addition to silver."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from aimaas.admission.judge import Judge, Reason
from aimaas.fleet import FleetSpec
from spark_jobs.schemas import SILVER, SOURCE, arrow_schema, columns_of, ddl

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame


def late_columns(fleet: FleetSpec) -> dict[str, str]:
    """Columns of a late row with their Spark types: silver's columns without `begins`, which only a served row has."""
    return {name: kind for name, kind in (SOURCE | columns_of(SILVER, fleet)).items() if name != "begins"}


def late_rows(fleet: FleetSpec, quarantine: DataFrame) -> DataFrame:
    """Rows (`late_columns`) of the events in quarantine that were late by at most `limits.lateness_s`."""
    late = quarantine.where(f"reason = '{Reason.LATE.label}'").select(*SOURCE, "key", "value")
    return late.mapInArrow(decode_events(fleet, fleet.limits.lateness_s), ddl(late_columns(fleet)))


def history_rows(fleet: FleetSpec, history: DataFrame) -> DataFrame:
    """Rows (`late_columns`) of the backfilled events, however old they are."""
    records = history.select(*SOURCE, "key", "value")
    return records.mapInArrow(decode_events(fleet, math.inf), ddl(late_columns(fleet)))


def decode_events(
    fleet: FleetSpec, lateness_s: float
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """The function for `mapInArrow`: takes records (`SOURCE`, key, value), returns rows of `late_columns`.

    It returns the events that the present fleet file admits and that were received at most `lateness_s` after their time.
    """

    def decoded(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        judge = Judge(fleet)
        for batch in batches:
            yield _rows(judge, batch, lateness_s)

    return decoded


def _rows(judge: Judge, records: pa.RecordBatch, lateness_s: float) -> pa.RecordBatch:
    import pyarrow as pa

    fleet = judge.fleet
    batch = judge.decode(records["key"].to_pylist(), records["value"].to_pylist())
    rows = batch.admitted
    taken_us = records["broker_ts"].cast(pa.int64()).to_numpy(zero_copy_only=False)[batch.at[rows]]
    rows = rows[taken_us - batch.ts_us[rows] <= lateness_s * 1e6]
    columns: dict[str, Any] = {
        **{name: records[name].take(pa.array(batch.at[rows])) for name in SOURCE},
        "device_id": [batch.device_ids[r] for r in rows],
        "run": batch.run[rows],
        "seq": [batch.events[r].seq for r in rows],
        "order": batch.order[rows],
        "ts": batch.ts_us[rows],
        **{
            name: pa.array(
                np.ascontiguousarray(batch.values[rows, c]), from_pandas=True
            )  # the judge holds a null as NaN
            for c, name in enumerate(fleet.readings)
        },
    }
    schema = arrow_schema(late_columns(fleet))
    arrays = [
        v.cast(k) if isinstance(v := columns[n], pa.Array) else pa.array(v, k)
        for n, k in zip(schema.names, schema.types, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
