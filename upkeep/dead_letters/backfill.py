"""Scores events in batches that the stream can no longer accept, each at its place in the history of its device.

The history is the order of the device's records on the events topic: admitted records, late ones, and records that the
present fleet file would admit. So the letters of one device see each other, replayed or not, now or before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from aimaas.admission.judge import Batch, Judge, Reason
from aimaas.fleet import FleetSpec
from aimaas.kernel.state import DeviceState
from stream.model.load import Model
from stream.records.dead_letters import Source
from stream.records.predictions import BACKFILL_TYPE, Answer, encode_prediction, no_prediction, shared_headers
from upkeep.dead_letters.decisions import Action, Replayed
from upkeep.dead_letters.letters import Letter
from upkeep.dead_letters.log import OrderKey, Sent

_NO_BEGINNING = "retention deleted the beginning of its run, so its state cannot be rebuilt: it gets no prediction"


@dataclass(frozen=True)
class History:
    """One device's rows in order: their places in `batch` (n,), and their effective broker times (n,) in ms."""

    batch: Batch
    rows: npt.NDArray[np.int64]
    broker_ms: npt.NDArray[np.int64]
    complete: bool


class PredictionRecord(NamedTuple):
    """Key, value and headers of a record for the predictions topic."""

    key: bytes
    value: bytes
    headers: list[tuple[str, str]]


class Scored(NamedTuple):
    """A letter with its prediction, or with the reason why it has none."""

    replayed: Replayed
    prediction: PredictionRecord | None


def backfill(
    judge: Judge, model: Model, sent: Sequence[Sent], complete: bool, wanted: Sequence[Replayed], now: datetime
) -> list[Scored]:
    """Score one device's letters. `sent` is the device's part of the log; `complete`: no record of it was deleted."""
    records, at_letter = _with_letters(sent, [r.letter for r in wanted])
    history = history_of(judge, records, frozenset(at_letter.values()), complete)
    features = _features(judge.fleet, model, history)
    by_record = {int(history.batch.at[row]): i for i, row in enumerate(history.rows)}
    scored = []
    for replayed in wanted:
        place = by_record[at_letter[replayed.letter.source]]
        if not _has_beginning(judge.fleet, history, place):
            scored.append(Scored(Replayed(replayed.letter, Action.LEFT, _NO_BEGINNING), None))
            continue
        answers = model.predict(features[place : place + 1])
        if not np.isfinite(answers).all():
            scored.append(Scored(Replayed(replayed.letter, Action.LEFT, no_prediction(model, float(answers[0]))), None))
            continue
        answer = next(zip(answers.tolist(), *model.interval(answers), strict=True))
        row = int(history.rows[place])
        key, event = records[int(history.batch.at[row])].key, history.batch.events[row]
        scored.append(Scored(replayed, _record(event, key, answer, replayed.letter.origin, model, now)))
    return scored


def _with_letters(sent: Sequence[Sent], letters: Sequence[Letter]) -> tuple[list[Sent], dict[Source, int]]:
    """Return the device's records, with the letters whose own record has been deleted, and the place of each letter among them."""
    records = list(sent)
    places = {record.source: i for i, record in enumerate(records)}
    for letter in letters:
        if letter.source not in places:
            places[letter.source] = len(records)
            records.append(Sent(letter.source, letter.at_ms, letter.key or b"", letter.value))
    return records, {letter.source: places[letter.source] for letter in letters}


def history_of(judge: Judge, records: Sequence[Sent], wanted: frozenset[int], complete: bool) -> History:
    """Put a device's records in order, one for each order key: one of the `wanted` places if there is one, otherwise the first."""
    batch = judge.decode([r.key for r in records], [r.value for r in records])
    taken_ms = np.array([r.broker_ms for r in records], np.int64)
    judge.order(batch, taken_ms, DeviceState((), 1, 0))
    fits = np.isin(batch.reason[batch.at], (Reason.ADMITTED, Reason.LATE))
    is_wanted = np.isin(batch.at, list(wanted))
    rows = np.flatnonzero(fits | is_wanted)
    rows = rows[np.lexsort((rows, ~is_wanted[rows], batch.order[rows], batch.run[rows]))]
    keys = np.stack([batch.run[rows], batch.order[rows]], axis=1)
    first = np.ones(len(rows), np.bool_)
    first[1:] = (np.diff(keys, axis=0) != 0).any(axis=1)
    rows = rows[first]
    # a late row gets the time of the row that follows it, so that it neither ends nor begins a silence
    broker_ms = np.minimum.accumulate(taken_ms[batch.at[rows]][::-1])[::-1]
    return History(batch, rows, broker_ms, complete)


def _features(fleet: FleetSpec, model: Model, history: History) -> npt.NDArray[np.float32]:
    """Compute features (n, F) of all rows of the history by the kernel, from empty state."""
    batch, rows = history.batch, history.rows
    state = DeviceState.of(fleet)
    slots = np.repeat(state.slots(["device"]), len(rows))
    silent = np.diff(history.broker_ms) > int(fleet.limits.silence_s * 1e3)
    resets = np.ones(len(rows), np.bool_)
    resets[1:] = (np.diff(batch.run[rows]) != 0) | silent
    features: npt.NDArray[np.float32] = model.kernel.advance(
        state, slots, batch.values[rows].astype(np.float32), resets
    )
    return features


def _has_beginning(fleet: FleetSpec, history: History, place: int) -> bool:
    """Return whether the log holds the row's run from its first row: the kernel counts rows and keeps the first ones."""
    run, order = history.batch.run[history.rows], history.batch.order[history.rows]
    earlier = bool((run < run[place]).any())
    first: OrderKey = (int(run[place]), int(order[run == run[place]][0]))
    return history.complete or earlier or (fleet.order == "seq" and first[1] <= 1)


def _record(event: Any, key: bytes, answer: Answer, origin: Source, model: Model, now: datetime) -> PredictionRecord:
    """Return the scorer's prediction for the event that the device sent, marked as backfill."""
    headers = [*shared_headers(model.metadata.fleet, now, BACKFILL_TYPE), ("ce_id", str(origin))]
    return PredictionRecord(key, encode_prediction(event, answer, model, now), headers)


def by_device(wanted: Sequence[Replayed]) -> Mapping[bytes, list[Replayed]]:
    """Group letters by their device's key."""
    found: dict[bytes, list[Replayed]] = {}
    for replayed in wanted:
        found.setdefault(replayed.letter.key or b"", []).append(replayed)
    return found
