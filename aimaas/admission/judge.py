"""Admission: one judge for the stream and the lake.

Admission has two steps, both on batches. `Judge.decode` checks each record by itself and turns the valid ones into arrays.
`Judge.order` checks these in the order of their partition, against the state of their devices. The scorer and Spark both call
these two methods, so they never disagree. Both use broker time, so a replay gives the same verdicts.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from aimaas.admission.order_keys import content_digests, judge_order
from aimaas.admission.partitioner import leading_elsewhere
from aimaas.fleet import FleetSpec
from aimaas.kernel.state import DeviceState, Forgotten
from aimaas.records.event_times import YEARS, is_allowed, near_the_ends
from aimaas.records.parsing import EventParser, Refusal
from aimaas.records.readings import ReadingRules
from aimaas.records.refusal_reasons import Reason

__all__ = ["Batch", "Judge", "Reason", "Reasons"]

Reasons = npt.NDArray[np.int8]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EXACT_US = 2**51  # year 2041: a float of seconds gives the right microsecond up to here
_LATEST_MS = 253_402_300_799_999  # year 9999; broker times outside are clipped, so that no arithmetic overflows


@dataclass
class Batch:
    """n records of one topic, decoded and judged.

    `reason` (n,) holds a Reason for every record. `detail` holds a sentence for each refused record, by its position. The other
    arrays have one row for each decoded record: `at` (m,) is its position in the batch; `run`; `order` (sequence number, or
    microseconds since 1970 for fleets with `order: ts`); `ts_us`; `values` (m, R float64, NaN for null); `reset` (m,) whether a
    run begins. `moved` (m,) marks the rows that changed the device state: the admitted rows, and the refused rows that jump.
    `strays` maps new devices to the partition that their key belongs to, if it is another one and the fleet allows `any`
    partitioner. `forgotten` pairs each eviction with the row that caused it: from that row on the slots of the evicted devices
    may hold others.
    """

    reason: Reasons
    detail: dict[int, str]
    at: npt.NDArray[np.int64]
    events: list[Any]
    device_ids: list[str]
    run: npt.NDArray[np.int64]
    order: npt.NDArray[np.int64]
    ts_us: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    reset: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    slots: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    moved: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    forgotten: list[tuple[int, Forgotten]] = field(default_factory=list)
    strays: dict[str, int] = field(default_factory=dict)

    @property
    def admitted(self) -> npt.NDArray[np.int64]:
        """Indices into the rows (not the records) that are admitted."""
        return np.flatnonzero(self.reason[self.at] == Reason.ADMITTED)


class Judge:
    """Admission for one fleet. Holds no device state, so one judge serves any number of partitions."""

    def __init__(self, fleet: FleetSpec) -> None:
        self.fleet = fleet
        self._silence_ms = int(fleet.limits.silence_s * 1e3)
        self._rules = ReadingRules(fleet)
        self._parser = EventParser(fleet, self._rules)

    def parts(self, offsets: npt.NDArray[np.int64]) -> Iterator[tuple[Judge, slice]]:
        """Yield this judge for all the offsets (n,). `Judges` also has the judges of offsets with older rules."""
        yield self, slice(0, len(offsets))

    def decode(self, keys: Sequence[bytes | None], values: Sequence[bytes | None]) -> Batch:
        """Judge each record by itself: size, JSON, schema, fleet, readings, ranges, key. No content of a record makes it raise."""
        events, at, refused = self._parser.parse(values)
        batch = self._columns(len(values), refused, events, at)
        self._judge_times(batch)
        self._judge_values(batch)
        self._judge_names(batch, keys)
        return batch

    def _columns(
        self, records: int, refused: Mapping[int, Refusal], events: list[Any], at: npt.NDArray[np.int64]
    ) -> Batch:
        reason = np.zeros(records, np.int8)
        for i, (why, _) in refused.items():
            reason[i] = why
        detail = {i: sentence for i, (_, sentence) in refused.items()}
        ts_us = _microseconds([e.ts for e in events])
        values = self._rules.matrix([e.readings for e in events])
        seq = np.array([e.seq for e in events], np.int64)
        return Batch(
            reason,
            detail,
            at,
            events,
            [e.device_id for e in events],
            np.array([e.run for e in events], np.int64),
            seq if self.fleet.order == "seq" else ts_us,
            ts_us,
            values,
        )

    def _judge_times(self, batch: Batch) -> None:
        for row in near_the_ends(batch.ts_us):
            if not is_allowed(time := batch.events[row].ts):
                _refuse(batch, row, Reason.SCHEMA, f"its time {time.isoformat()} is not within {YEARS}")

    def _judge_values(self, batch: Batch) -> None:
        for fault in self._rules.faults(batch.values):
            _refuse(batch, fault.row, fault.reason, fault.detail)

    def _judge_names(self, batch: Batch, keys: Sequence[bytes | None]) -> None:
        at = batch.at.tolist()
        ours = {e.fleet for e in batch.events} <= {self.fleet.fleet}
        if ours and [keys[i] for i in at] == [d.encode() for d in batch.device_ids]:
            return
        for row, (event, i) in enumerate(zip(batch.events, at, strict=True)):
            if event.fleet != self.fleet.fleet:
                batch.reason[i] = Reason.ADMITTED  # replaces other reasons: its readings belong to another fleet
                _refuse(batch, row, Reason.WRONG_FLEET, f"fleet {event.fleet[:80]!r}, expected {self.fleet.fleet!r}")
            elif keys[i] != event.device_id.encode():
                shown = repr((keys[i] or b"")[:80]) if keys[i] is not None else "none"
                _refuse(
                    batch, row, Reason.KEY_MISMATCH, f"key {shown}, expected device_id {event.device_id!r} in UTF-8"
                )

    def order(
        self,
        batch: Batch,
        broker_ms: npt.NDArray[np.int64],
        state: DeviceState,
        forgets: bool = True,
        partition: int | None = None,
    ) -> None:
        """Judge the decoded rows against their devices, in order, and advance the devices' order keys.

        `broker_ms` (n,) is the broker's time of every record. Sets `reason` (skew, order, partition), `reset`, `slots` and
        `moved`. A device that was silent for longer than `limits.silence_s` begins a new history. If the partition is full, a new
        device causes an eviction, unless `forgets` is False. If `partition` is given, new devices must belong in it. The caller
        advances the kernel with the admitted rows.
        """
        broker_ms = np.clip(broker_ms[batch.at], 0, _LATEST_MS)
        skewed = batch.ts_us - broker_ms * 1000 > int(self.fleet.limits.skew_s * 1e6)
        for row in np.flatnonzero(skewed):
            _refuse(
                batch, row, Reason.SKEW, f"its time is more than {self.fleet.limits.skew_s:g} s ahead of the broker's"
            )
        batch.reset = np.zeros(len(batch.at), np.bool_)
        batch.slots = np.full(len(batch.at), -1, np.int64)
        batch.moved = np.zeros(len(batch.at), np.bool_)
        verdicts = np.zeros(len(batch.at), np.int8)
        newest = np.zeros((len(batch.at), 2), np.int64)
        digests = content_digests(batch.values, batch.ts_us)
        for rows in self._segments(batch, broker_ms, state, forgets, partition):
            judge_order(
                rows, batch.slots, batch.run, batch.order, digests, broker_ms, self._silence_ms,
                self.fleet.jump_run, self.fleet.jump_order,
                state.run, state.newest, state.seen_ms, state.keys, state.digests, state.admitted, state.jump,
                verdicts, batch.reset, batch.moved, newest,
            )  # fmt: skip
        for row in np.flatnonzero(verdicts):
            reason = Reason(verdicts[row])
            _refuse(batch, row, reason, self._order_detail(reason, batch, int(row), newest[row].tolist()))

    def _segments(
        self,
        batch: Batch,
        broker_ms: npt.NDArray[np.int64],
        state: DeviceState,
        forgets: bool,
        partition: int | None,
    ) -> Iterator[npt.NDArray[np.int64]]:
        """Yield the admitted rows in order, in segments that end before each new device for which the partition is full.

        Eviction happens between two segments, after all earlier rows are judged, so the cut into batches has no effect.
        """
        most = self.fleet.devices_per_partition if forgets else sys.maxsize
        rows = batch.admitted  # each row belongs to a known device or to a new one
        while True:
            device_ids = [batch.device_ids[r] for r in rows]
            slots = state.slots_of_known(device_ids)
            if slots is None:
                rows = self._placed(batch, rows, state, partition)
                slots = state.slots([batch.device_ids[r] for r in rows], most)
            segment, rows = rows[: len(slots)], rows[len(slots) :]
            batch.slots[segment] = slots
            yield segment
            if not len(rows):
                return
            row = int(rows[0])
            batch.forgotten.append((row, state.forget_for_room(int(broker_ms[row]), self._silence_ms, most)))

    def _placed(
        self, batch: Batch, rows: npt.NDArray[np.int64], state: DeviceState, partition: int | None
    ) -> npt.NDArray[np.int64]:
        """Refuse the rows of new devices that belong in another partition, and return the others.

        With `any` partitioner return all rows.
        """
        if partition is None:
            return rows
        topics = self.fleet.topics
        new = {device_id for r in rows if (device_id := batch.device_ids[r]) not in state}
        astray = leading_elsewhere(new, partition, topics.partitions)
        if topics.partitioner == "any":
            batch.strays |= astray
            return rows
        refused = [r for r in rows.tolist() if batch.device_ids[r] in astray]
        for row in refused:
            _refuse(
                batch,
                row,
                Reason.WRONG_PARTITION,
                f"partition {partition}, but murmur2 chooses {astray[batch.device_ids[row]]} of {topics.partitions} for its key: "
                "set the producer's partitioner to murmur2_random, or topics.partitioner in the fleet file to any",
            )
        return np.setdiff1d(rows, refused) if refused else rows

    def _order_detail(self, reason: Reason, batch: Batch, row: int, newest: list[int]) -> str:
        what = f"run {batch.run[row]}, {self.fleet.order} {batch.order[row]}"
        match reason:
            case Reason.DUPLICATE:
                return f"{what} was received before with the same content"
            case Reason.CONFLICT:
                return f"{what} was received before with different content"
            case Reason.JUMP:
                return (
                    f"{what} is more than limits.jump above the device's newest: run {newest[0]}, {newest[1]}; the third "
                    "increasing record in a row is admitted"
                )
            case _:
                return f"{what} is older than the device's newest: run {newest[0]}, {newest[1]}"


def _refuse(batch: Batch, row: int | np.integer[Any], reason: Reason, detail: str) -> None:
    """Refuse a decoded row, unless it has a reason already."""
    i = int(batch.at[row])
    if batch.reason[i] == Reason.ADMITTED:
        batch.reason[i], batch.detail[i] = reason, detail


def _microseconds(times: list[datetime]) -> npt.NDArray[np.int64]:
    """Return the exact microseconds since 1970 of aware times."""
    exact = np.rint(np.array([t.timestamp() for t in times], np.float64) * 1e6).astype(np.int64)
    for row in np.flatnonzero(np.abs(exact) >= _EXACT_US):
        exact[row] = (times[row] - _EPOCH) // timedelta(microseconds=1)
    return exact
