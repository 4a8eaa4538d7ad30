"""Bad records between good ones: a given number for each reason of refusal, for the demo and for tests.

The verdict of admission on each record is known in advance, in any order of the partitions. A record that is judged against
its device (duplicate, conflict, late, jump) follows its original under the same key, before the device's history drops the
original.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from aimaas.admission.judge import Reason
from aimaas.errors import AimaasError
from aimaas.fleet import FleetSpec
from aimaas.records.events import MAX_RUN, MAX_SEQ

Judged = tuple[bytes, bytes | None, Reason]

_DELAY = 5  # a repeated record follows its original after at most this many others; state keeps the last 8 keys
_BEFORE = timedelta(seconds=1)


class Faults:
    """Adds `counts[reason]` bad records of each reason to a stream of `total` good ones.

    `now` must be close to the broker's time. Each fault is made from a good record, at a place that the seed decides.
    """

    def __init__(self, fleet: FleetSpec, counts: Mapping[Reason, int], total: int, seed: int, now: datetime) -> None:
        wanted = [reason for reason, count in counts.items() for _ in range(count)]
        if len(wanted) > total:
            raise AimaasError(
                f"{len(wanted)} bad records requested among {total} good ones: request fewer, or send more"
            )
        self._fleet, self._now = fleet, now
        self._rng = np.random.default_rng([seed, 11])
        places = self._rng.choice(total, len(wanted), replace=False)
        self._planned = dict(zip(places.tolist(), wanted, strict=True))
        self._place = 0
        self._waiting: list[tuple[int, Judged]] = []
        self._late_due = 0
        self._first: dict[bytes, bytes] = {}  # first record of each device without a late one
        self._late: dict[bytes, Judged] = {}

    def feed(self, records: Sequence[tuple[bytes, bytes]]) -> list[Judged]:
        """Return the good records, in order, with bad ones between them."""
        out: list[Judged] = []
        for key, value in records:
            out.append((key, value, Reason.ADMITTED))
            if key not in self._late:
                self._first.setdefault(key, value)
            self._plan(key, value)
            out += self._released(key)
            self._place += 1
        return out

    def drain(self) -> list[Judged]:
        """Return the bad records that still wait when the stream ends."""
        out = [judged for _, judged in self._waiting]
        self._waiting = []
        out += [self._late_record(key) for key in list(self._first)[: self._late_due]]
        while self._late_due > 0 and self._late:  # more late ones than devices: some devices get several
            out += list(self._late.values())[: self._late_due]
            self._late_due -= len(self._late)
        return out

    def _plan(self, key: bytes, value: bytes) -> None:
        reason = self._planned.get(self._place)
        if reason is None:
            return
        if reason == Reason.LATE:
            self._late_due += 1
            return
        delay = int(self._rng.integers(_DELAY + 1)) if reason in (Reason.DUPLICATE, Reason.CONFLICT) else 0
        self._waiting.append((self._place + delay, spoil(self._fleet, reason, key, value, self._rng, self._now)))

    def _released(self, key: bytes) -> list[Judged]:
        """Return the records that are due at the present place."""
        out = []
        if self._waiting:
            out = [judged for place, judged in self._waiting if place <= self._place]
            self._waiting = [(place, judged) for place, judged in self._waiting if place > self._place]
        if self._late_due and key in self._first:  # one for each device, so that no late record repeats another
            out.append(self._late_record(key))
        return out

    def _late_record(self, key: bytes) -> Judged:
        self._late_due -= 1
        self._late[key] = key, earlier(self._fleet, self._first.pop(key)), Reason.LATE
        return self._late[key]


def spoil(
    fleet: FleetSpec, reason: Reason, key: bytes, value: bytes, rng: np.random.Generator, now: datetime
) -> Judged:
    """Return a bad record for `reason`, made from a good one. For `late` see `earlier`."""
    if reason == Reason.UNPARSABLE:
        cut = int(rng.integers(1, len(value) - 1))
        return key, (value[:cut], b"\xff\xfe\x00" + value[:cut], b"", None)[int(rng.integers(4))], reason
    if reason == Reason.DUPLICATE:
        return key, value, reason
    if reason == Reason.KEY_MISMATCH:
        return key + b"-other", value, reason
    record = json.loads(value)
    _CHANGES[reason](fleet, record, rng, now)
    return key, _text(record), reason


def earlier(fleet: FleetSpec, first: bytes) -> bytes:
    """Return a record of the device from before its first one. Raises AimaasError if the order leaves no room for it."""
    record = json.loads(first)
    if fleet.order == "ts":
        record["ts"] = (datetime.fromisoformat(record["ts"]) - _BEFORE).isoformat()
    elif record["seq"] > 0:
        record["seq"] -= 1
    else:
        raise AimaasError("late records cannot be made from histories that begin at seq 0: begin them at 1")
    return _text(record)


def _text(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()  # writes NaN and Infinity unchanged


def _schema(_: FleetSpec, record: dict[str, Any], rng: np.random.Generator, __: datetime) -> None:
    changes: list[dict[str, Any]] = [{"ts": "yesterday"}, {"run": -1}, {"device_id": 7}, {"seq": "first"}, {"ts": None}]
    record.update(changes[int(rng.integers(len(changes)))])


def _missing(fleet: FleetSpec, record: dict[str, Any], rng: np.random.Generator, _: datetime) -> None:
    """Leave a reading out, or set it to null if that is also refused."""
    which = int(rng.integers(len(fleet.readings)))
    name = fleet.readings[which]
    if fleet.reading_specs[which].nullable or rng.random() < 0.5:
        del record["readings"][name]
    else:
        record["readings"][name] = None


def _not_finite(fleet: FleetSpec, record: dict[str, Any], rng: np.random.Generator, _: datetime) -> None:
    record["readings"][str(rng.choice(fleet.readings))] = float(rng.choice([np.nan, np.inf, -np.inf]))


def _out_of_range(fleet: FleetSpec, record: dict[str, Any], rng: np.random.Generator, _: datetime) -> None:
    which = int(rng.integers(len(fleet.readings)))
    low, high = fleet.reading_specs[which].range
    record["readings"][fleet.readings[which]] = high + (high - low) if rng.random() < 0.5 else low - (high - low)


def _wrong_fleet(fleet: FleetSpec, record: dict[str, Any], _: np.random.Generator, __: datetime) -> None:
    record["fleet"] = f"{fleet.fleet}-of-another-plant"


def _oversized(fleet: FleetSpec, record: dict[str, Any], _: np.random.Generator, __: datetime) -> None:
    record["padding"] = "x" * fleet.limits.record_bytes


def _conflict(fleet: FleetSpec, record: dict[str, Any], rng: np.random.Generator, _: datetime) -> None:
    which = int(rng.integers(len(fleet.readings)))
    low, high = fleet.reading_specs[which].range
    name = fleet.readings[which]
    middle, present = (low + high) / 2, record["readings"][name]
    record["readings"][name] = middle if present is None else (present + (low if present > middle else high)) / 2


def _skew(fleet: FleetSpec, record: dict[str, Any], _: np.random.Generator, now: datetime) -> None:
    record["ts"] = (now + timedelta(days=1, seconds=fleet.limits.skew_s)).isoformat()


def _jump(fleet: FleetSpec, record: dict[str, Any], rng: np.random.Generator, _: datetime) -> None:
    """Set a counter far beyond the device's newest; the next good record of the device shows that it was wrong."""
    beyond = int(rng.integers(10_000, 20_000))  # more than a device's life, so it is a jump from any of its records
    if fleet.order == "seq" and rng.random() < 0.5:
        record["seq"] = min(record["seq"] + fleet.jump_order + beyond, MAX_SEQ)
    else:
        record["run"] = min(record["run"] + fleet.jump_run + beyond, MAX_RUN)


_CHANGES = {
    Reason.SCHEMA: _schema,
    Reason.MISSING_READING: _missing,
    Reason.NOT_FINITE: _not_finite,
    Reason.OUT_OF_RANGE: _out_of_range,
    Reason.WRONG_FLEET: _wrong_fleet,
    Reason.OVERSIZED: _oversized,
    Reason.CONFLICT: _conflict,
    Reason.SKEW: _skew,
    Reason.JUMP: _jump,
}
FAULTS = tuple(sorted((*_CHANGES, Reason.UNPARSABLE, Reason.KEY_MISMATCH, Reason.DUPLICATE, Reason.LATE)))
"""The reasons that bad records can be made for: those of the judge that a record has by itself or beside its device's others."""
