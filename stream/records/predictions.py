"""Predictions as records: one for each answered event, keyed by device, with the headers of CloudEvents (binary mode)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from aimaas.admission.judge import Batch
from aimaas.records.events import Prediction
from stream.model.load import Model
from stream.records.producing import Outgoing
from stream.state.partition import Records

EVENT_TYPE = "aimaas.prediction"
BACKFILL_TYPE = "aimaas.prediction.backfill"  # of predictions that a dead-letter replay scores in batches

Answer = tuple[float, float | None, float | None]  # prediction, lower, upper

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class Part:
    """One partition's share of a batch: its messages, their columns, the verdicts, and features (n, F) of the admitted rows.

    `readings` are the columns of the batch's values.
    """

    partition: int
    messages: Sequence[Any]
    records: Records
    batch: Batch
    features: npt.NDArray[np.float32]
    readings: tuple[str, ...] = ()


def predictions_of(
    part: Part, answers: npt.NDArray[np.float32], sources: Sequence[str], model: Model, scored_at: datetime
) -> Iterator[Outgoing]:
    """Return a record for each admitted row of a part of a batch whose answer in `answers` (n,) is finite.

    `ce_id` is the event's entry in `sources`, `topic/partition/offset` by place in the batch.
    """
    shared = shared_headers(model.metadata.fleet, scored_at)
    rows, keys, events = part.batch.admitted, part.records.keys, part.batch.events
    finite = np.isfinite(answers)
    if not finite.all():
        rows, answers = rows[finite], answers[finite]
    whole = zip(answers.tolist(), *model.interval(answers), strict=True)
    for row, i, answer in zip(rows.tolist(), part.batch.at[rows].tolist(), whole, strict=True):
        yield keys[i], encode_prediction(events[row], answer, model, scored_at), [*shared, ("ce_id", sources[i])]


def unanswered_of(part: Part, answers: npt.NDArray[np.float32], model: Model) -> dict[int, str]:
    """Return by place in the batch the sentence about each admitted row whose answer in `answers` (n,) is not finite."""
    bad = ~np.isfinite(answers)
    places = part.batch.at[part.batch.admitted[bad]]
    return {i: no_prediction(model, answer) for i, answer in zip(places.tolist(), answers[bad].tolist(), strict=True)}


def no_prediction(model: Model, answer: float) -> str:
    """Return the sentence of `Reason.NO_PREDICTION`."""
    return f"model version {model.version} returned {answer}, which is not a prediction; another version may return one"


def encode_prediction(event: Any, answer: Answer, model: Model, scored_at: datetime) -> bytes:
    """Encode the prediction of a decoded event as JSON."""
    prediction, lower, upper = answer
    return _encode(
        Prediction(
            model.metadata.fleet, event.device_id, event.run, event.seq, event.ts,
            prediction, model.metadata.prediction_unit, model.version, scored_at, lower, upper,
        )
    )  # fmt: skip


def shared_headers(fleet: str, scored_at: datetime, kind: str = EVENT_TYPE) -> list[tuple[str, str]]:
    """Return the headers that all predictions of a batch share; `kind` is the `ce_type`."""
    return [
        ("ce_specversion", "1.0"),
        ("ce_type", kind),
        ("ce_source", f"/aimaas/{fleet}/scorer"),
        ("ce_time", scored_at.isoformat().replace("+00:00", "Z")),
        ("content-type", "application/json"),
    ]
