"""The judge's pass over bronze, as it runs in Spark's Python workers.

Rows come sorted by topic, partition and offset. Before them comes the state of the partition's devices that the last run left. The
scorer's judge processes the rows with the state of one Kafka partition at a time.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from aimaas.admission.judge import Batch, Judge, Reason
from aimaas.admission.judges_by_offset import Judges
from aimaas.admission.rules import widened
from aimaas.fleet import FleetSpec
from aimaas.kernel.state import DeviceState
from aimaas.records.events import Outcome
from aimaas.topics import topic_names, topic_of
from spark_jobs.admission.outcomes import Refused, judge_outcomes
from spark_jobs.admission.rule_claims import JudgedBy
from spark_jobs.landing.large_records import sha256_of, values_of
from spark_jobs.schemas import OUTCOME, QUARANTINE, READING, SILVER, STATE, arrow_schema, wide_columns

if TYPE_CHECKING:
    import pyarrow as pa

Columns = dict[str, Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SHOWN = 1_000


def judge_partitions(by: JudgedBy) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """The function for `mapInArrow`: takes rows of bronze and of the state, returns rows of `wide_columns`."""

    def judged(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return _Pass(by).over(batches)

    return judged


def order_state() -> DeviceState:
    """Empty state with the arrays that the judge needs: order keys without readings."""
    return DeviceState((), 1, 0)


@dataclass
class _Partition:
    """The Kafka partition that is processed now: its judges, the state of its devices, and the offset of its last record."""

    topic: str
    partition: int
    judges: Judges
    last: int = -1
    state: DeviceState = field(default_factory=order_state)


class _Pass:
    def __init__(self, by: JudgedBy) -> None:
        self._by, self._fleet = by, by.book.fleet
        fleet = self._fleet
        self._events = topic_names(fleet).events
        self._schema = arrow_schema(wide_columns(fleet))
        self._at: _Partition | None = None

    def over(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for rows in _pieces(batch):
                yield from self._enter(rows)
                yield from self._take(rows)
        yield from self._leave()

    def _enter(self, rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """Switch to the partition of these rows, and yield the state of the previous partition."""
        topic, partition = rows["topic"][0].as_py(), rows["partition"][0].as_py()
        if self._at is None or (self._at.topic, self._at.partition) != (topic, partition):
            yield from self._leave()
            self._at = _Partition(topic, partition, self._by.judges(topic, partition))

    def _leave(self) -> Iterator[pa.RecordBatch]:
        if self._at is not None:
            yield self._batch(_state_rows(self._at))

    def _take(self, rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        assert self._at is not None  # noqa: S101  _enter came before
        if not rows["is_record"][0].as_py():
            _restore(self._at, rows)
            return
        self._at.last = rows["offset"][-1].as_py()
        yield from self._events_of(rows) if topic_of(self._at.topic) == self._events else self._outcomes_of(rows)

    def _events_of(self, rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """Judge each stretch by the rules that apply to it."""
        assert self._at is not None  # noqa: S101  _enter came before
        for judge, stretch in self._at.judges.parts(rows["offset"].to_numpy()):
            part = rows.slice(stretch.start, stretch.stop - stretch.start)
            keys, values = part["key"].to_pylist(), values_of(part)
            batch = judge.decode(keys, values)
            judge.order(batch, _milliseconds(part["broker_ts"]), self._at.state, partition=self._at.partition)
            refused = {int(i): (Reason(batch.reason[i]), batch.detail[int(i)]) for i in np.flatnonzero(batch.reason)}
            yield self._batch(_source(part, batch.at[batch.admitted]) | self._silver(judge, batch))
            yield self._batch(_source(part, list(refused)) | _quarantine(judge.fleet, refused, keys, values))

    def _outcomes_of(self, rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """Judge outcomes by the present fleet file: only the lake reads them."""
        keys, values = rows["key"].to_pylist(), values_of(rows)
        verdicts = judge_outcomes(self._fleet, keys, values)
        refused = {i: (v.reason, v.detail) for i, v in enumerate(verdicts) if isinstance(v, Refused)}
        good = {i: v for i, v in enumerate(verdicts) if isinstance(v, Outcome)}
        yield self._batch(_source(rows, list(good)) | self._outcomes(list(good.values())))
        yield self._batch(_source(rows, list(refused)) | _quarantine(self._fleet, refused, keys, values))

    def _silver(self, judge: Judge, batch: Batch) -> Columns:
        """The admitted rows with the present readings; null if the rules of their time lacked the reading."""
        import pyarrow as pa

        rows = batch.admitted
        values = widened(batch.values[rows], judge.fleet.readings, self._fleet.readings)
        return {
            "verdict": SILVER,
            "device_id": [batch.device_ids[r] for r in rows],
            "run": batch.run[rows],
            "seq": [batch.events[r].seq for r in rows],
            "order": batch.order[rows],
            "ts": batch.ts_us[rows],
            "begins": batch.reset[rows],
            **{
                READING + name: pa.array(values[:, c], from_pandas=True)  # the judge holds a null as NaN
                for c, name in enumerate(self._fleet.readings)
            },
        }

    def _outcomes(self, good: list[Outcome]) -> Columns:
        ts_us = [(o.ts - _EPOCH) // timedelta(microseconds=1) for o in good]
        return {
            "verdict": OUTCOME,
            "device_id": [o.device_id for o in good],
            "run": [o.run for o in good],
            "seq": [o.seq for o in good],
            "order": [o.seq for o in good] if self._fleet.order == "seq" else ts_us,
            "ts": np.array(ts_us, np.int64),
            "kind": [o.kind for o in good],
            "mode": [o.mode for o in good],
        }

    def _batch(self, columns: Columns) -> pa.RecordBatch:
        """A batch of the wide schema; missing columns are null."""
        import pyarrow as pa

        n = len(columns["offset"])
        arrays = []
        for name, kind in zip(self._schema.names, self._schema.types, strict=True):
            values = columns.get(name)
            if values is None or isinstance(values, str):
                arrays.append(pa.repeat(pa.scalar(values, kind), n))
            else:
                arrays.append(values.cast(kind) if isinstance(values, pa.Array) else pa.array(values, kind))
        return pa.RecordBatch.from_arrays(arrays, schema=self._schema)


def _quarantine(
    fleet: FleetSpec,
    refused: Mapping[int, tuple[Reason, str]],
    keys: list[bytes | None],
    values: list[bytes | None],
) -> Columns:
    """Refused records. Of a record that is too large, only the first bytes stay, with size and digest of the whole."""
    whole = [values[i] for i in refused]
    return {
        "verdict": QUARANTINE,
        "reason": [reason.label for reason, _ in refused.values()],
        "detail": [_cut(detail) for _, detail in refused.values()],
        "key": [_cut(keys[i]) for i in refused],
        "value": [None if v is None else v[: fleet.limits.record_bytes] for v in whole],
        "value_bytes": [None if v is None else len(v) for v in whole],
        "value_sha256": [None if v is None else sha256_of(v) for v in whole],
    }


def _pieces(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Cut a batch where the topic or the partition changes, and between state and records."""
    if not len(batch):
        return
    topic = batch["topic"].dictionary_encode().indices.to_numpy(zero_copy_only=False)
    partition = batch["partition"].to_numpy(zero_copy_only=False)
    record = batch["is_record"].to_numpy(zero_copy_only=False).astype(np.int8)
    changes = (np.diff(topic) != 0) | (np.diff(partition) != 0) | (np.diff(record) != 0)
    cuts = [0, *(np.flatnonzero(changes) + 1).tolist(), len(batch)]
    for begin, end in itertools.pairwise(cuts):
        yield batch.slice(begin, end - begin)


def _restore(at: _Partition, rows: pa.RecordBatch) -> None:
    """Restore the state that the last run left, and the offset of its last record."""
    for device, state, offset in zip(*(rows[c].to_pylist() for c in ("device_id", "state", "offset")), strict=True):
        at.last = offset
        if device is not None:
            at.state.unpack(device, state)


def _state_rows(at: _Partition) -> Columns:
    """The state for the next run: a row per device, and one without a device for the partition itself."""
    devices = list(at.state.devices)
    n = len(devices) + 1
    return {
        "verdict": STATE,
        "topic": at.topic,
        "partition": np.full(n, at.partition, np.int32),
        "offset": np.full(n, at.last, np.int64),
        "device_id": [None, *(device for device, _ in devices)],
        "state": [None, *(at.state.pack(slot) for _, slot in devices)],
    }


def _source(rows: pa.RecordBatch, places: Any) -> dict[str, Any]:
    """The coordinates of the records at these positions."""
    import pyarrow as pa

    taken = rows.select(["topic", "partition", "offset", "broker_ts"]).take(pa.array(places, pa.int64()))
    return {name: taken[name] for name in ("topic", "partition", "offset", "broker_ts")}


def _cut(found: Any) -> Any:
    """The first thousand characters or bytes of a device's text, as valid UTF-8."""
    if isinstance(found, str):
        return found[:_SHOWN].encode("utf-8", "backslashreplace").decode()
    return found and found[:_SHOWN]


def _milliseconds(times: pa.Array) -> Any:
    """Broker time of each record in ms since 1970, as the scorer reads it from Kafka."""
    import pyarrow as pa

    return times.cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy(zero_copy_only=False) // 1000
