"""Predictions as records: one for each admitted event, keyed by device, with the headers of CloudEvents (binary mode)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from aimaas.admission import Batch
from aimaas.events import Prediction
from stream.models import Model
from stream.partition_state import Records

EVENT_TYPE = "aimaas.prediction"

Header = tuple[str, str]
_encode = msgspec.json.Encoder().encode


class PredictionRecord(NamedTuple):
    """Key, value and headers of a record for the predictions topic."""

    key: bytes | None
    value: bytes
    headers: list[Header]


def prediction_records(
    topic: str,
    partition: int,
    records: Records,
    batch: Batch,
    rows: npt.NDArray[np.int64],
    answers: npt.NDArray[np.float32],
    model: Model,
    scored_at: datetime,
) -> Iterator[PredictionRecord]:
    """Records of the admitted `rows` of a batch and their `answers` (n,). `ce_id` is `topic/partition/offset` of the event."""
    fleet, unit, version = model.metadata.fleet, model.metadata.unit, model.version
    headers = _headers(fleet, scored_at)
    at = batch.at[rows]
    source, keys, events = f"{topic}/{partition}/", records.keys, batch.events
    columns = zip(rows.tolist(), at.tolist(), records.offsets[at].tolist(), answers.tolist(), strict=True)
    for row, i, offset, answer in columns:
        e = events[row]
        value = _encode(Prediction(fleet, e.device_id, e.run, e.seq, e.ts, answer, unit, version, scored_at))
        yield PredictionRecord(keys[i], value, [*headers, ("ce_id", f"{source}{offset}")])


def _headers(fleet: str, scored_at: datetime) -> list[Header]:
    """The headers that all predictions of a batch share."""
    return [
        ("ce_specversion", "1.0"),
        ("ce_type", EVENT_TYPE),
        ("ce_source", f"/aimaas/{fleet}/scorer"),
        ("ce_time", scored_at.isoformat().replace("+00:00", "Z")),
        ("content-type", "application/json"),
    ]
