"""A full partition forgets the devices silent for longest: which, when, and the same however the records are cut into batches."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimaas.admission.judge import Batch, Judge, Reason
from aimaas.fleet import FleetSpec
from aimaas.kernel.eviction import devices_to_forget
from aimaas.kernel.features import Kernel, kernel_of
from aimaas.kernel.fit import Fit
from aimaas.kernel.plan import plan_of
from aimaas.kernel.state import DeviceState
from aimaas.records.events import encode_event

TS = datetime(2026, 11, 23, 10, tzinfo=UTC)
NOW_MS = 1_795_428_000_000
SILENCE_MS = 60_000


@pytest.mark.parametrize(
    ("seen_ms", "most", "expected"),
    [
        ([5, 3, 4], 3, ["b"]),
        ([5, 5, 5], 3, ["a"]),
        ([5, 3, 3], 3, ["b"]),
        ([9, 8, 7, 6, 5, 4, 3, 2, 1], 9, ["h", "i"]),  # an eighth, rounded up
        ([5, 1, 4, 3], 2, ["b", "c", "d"]),  # the limit was lowered
        ([5, 0, 4], 3, ["b"]),  # no broker time at all
        ([5], 1, ["a"]),
    ],
)
def test_where_none_is_silent_for_too_long_the_longest_silent_eighth_goes(
    seen_ms: list[int], most: int, expected: list[str]
) -> None:
    assert gone(seen_ms, now_ms=10, most=most) == expected


@pytest.mark.parametrize(("now_ms", "expected"), [(SILENCE_MS + 3, ["b"]), (SILENCE_MS + 5, ["b", "c"])])
def test_those_silent_for_too_long_all_go_and_then_nobody_else(now_ms: int, expected: list[str]) -> None:
    assert gone([9, 2, 4, 0], now_ms, most=4) == expected


def test_silent_ones_that_make_no_room_take_the_longest_silent_eighth_with_them() -> None:
    assert gone([9, 2, 4, 8], SILENCE_MS + 3, most=3) == ["b", "c"]


def gone(seen_ms: list[int], now_ms: int, most: int) -> list[str]:
    names = "abcdefghi"[: len(seen_ms)]
    return sorted(names[i] for i in devices_to_forget(names, np.array(seen_ms), now_ms, SILENCE_MS, most))


@pytest.mark.parametrize(
    ("devices", "partitions", "expected"), [(10, 3, 4), (9, 3, 3), (1, 4, 1), (1_000_000, 4, 250_000)]
)
def test_partitions_share_the_limit_evenly_rounded_up(devices: int, partitions: int, expected: int) -> None:
    assert fleet(devices, partitions).devices_per_partition == expected


def test_a_forgotten_device_is_new_at_its_next_event() -> None:
    found = judged(fleet(2), [event("a", 5), event("b", 5), event("c", 5), event("a", 1), event("a", 1)], [0, 5])
    assert found.labels == ["admitted", "admitted", "admitted", "admitted", "duplicate"]
    assert found.resets == [True, True, True, True, False]
    assert sorted(found.state) == ["a", "c"]


def test_a_refused_event_forgets_nobody() -> None:
    skewed = event("c", 1, ts=datetime(2030, 1, 1, tzinfo=UTC))
    found = judged(fleet(2), [event("a", 1), event("b", 1), skewed, event("a", 1), event("b", 1)], [0, 5])
    assert found.labels == ["admitted", "admitted", "skew", "duplicate", "duplicate"]


def test_without_forgetting_all_devices_stay() -> None:
    judge, state = Judge(fleet(2)), DeviceState.of(fleet(2))
    events = [event(d, 1) for d in "abcde"]
    batch = judge.decode([e.key for e in events], [e.value for e in events])
    judge.order(batch, np.full(5, NOW_MS), state, forgets=False)
    assert (len(state), batch.forgotten) == (5, [])


@dataclass(frozen=True)
class Event:
    device: str
    run: int
    seq: int
    x: float
    ms: int
    ts: datetime = TS

    @property
    def key(self) -> bytes:
        return self.device.encode()

    @property
    def value(self) -> bytes:
        return encode_event("pump", self.device, self.run, self.seq, self.ts, {"x": self.x})


def event(device: str, seq: int, run: int = 0, x: float = 1.0, ms: int = NOW_MS, ts: datetime = TS) -> Event:
    return Event(device, run, seq, x, ms, ts)


def fleet(devices: int, partitions: int = 1) -> FleetSpec:
    return FleetSpec.model_validate({
        "fleet": "pump", "version": 1, "sensors": {"x": {"name": "x", "unit": "1", "range": [0, 100]}},
        "features": {"windows": [2, 4], "first": 2}, "task": {"kind": "remaining_useful_life", "unit": "cycles", "cap": 9},
        "training": {"candidates": {"ridge": {}}}, "topics": {"partitions": partitions},
        "limits": {"devices": devices, "silence_s": SILENCE_MS / 1e3, "skew_s": 3600},
    })  # fmt: skip


def kernel(spec: FleetSpec) -> Kernel:
    return kernel_of(plan_of(spec), Fit(((),), (), ((3.0,),), ((0.7,),)))


@dataclass
class Judged:
    """What came of events: per event a label and, where it is in order, whether a run begins; features; packed state."""

    labels: list[str] = field(default_factory=list)
    resets: list[bool] = field(default_factory=list)
    features: list[bytes] = field(default_factory=list)
    state: dict[str, bytes] = field(default_factory=dict)


def judged(spec: FleetSpec, events: list[Event], places: list[int]) -> Judged:
    judge, state, found, k = Judge(spec), DeviceState.of(spec), Judged(), kernel(spec)
    for begin, end in pairwise(places):
        part = events[begin:end]
        batch = judge.decode([e.key for e in part], [e.value for e in part])
        judge.order(batch, np.array([e.ms for e in part], np.int64), state)
        found.labels += [Reason(r).label for r in batch.reason]
        found.resets += batch.reset.tolist()
        found.features += [row.tobytes() for row in features_of(k, state, batch)]
        assert len(state) <= spec.devices_per_partition
    found.state = {d: state.pack(slot) for d, slot in state.devices}
    return found


def features_of(k: Kernel, state: DeviceState, batch: Batch) -> Any:
    rows = batch.admitted
    return k.advance(state, batch.slots[rows], batch.values[rows].astype(np.float32), batch.reset[rows])


@st.composite
def histories(draw: Any) -> list[Event]:
    """60 to 120 events of few devices: much silence, ties of broker time, repeated and late sequence numbers."""
    step = st.sampled_from([0, 0, 0, 1, 1_000, SILENCE_MS - 1, SILENCE_MS, SILENCE_MS + 1])
    one = st.tuples(st.integers(0, 11), st.integers(0, 1), st.integers(0, 4), st.integers(0, 2), step)
    now_ms, events = NOW_MS, []
    for device, run, seq, x, step_ms in draw(st.lists(one, min_size=60, max_size=120)):
        now_ms += step_ms
        events.append(event(f"d{device}", seq, run, float(x), now_ms))
    return events


@settings(max_examples=150)
@given(histories(), st.integers(1, 8), st.lists(st.integers(0, 120), max_size=12))
def test_verdicts_features_and_state_are_those_of_a_plain_walk_however_the_records_are_cut(
    events: list[Event], most: int, cuts: list[int]
) -> None:
    n = len(events)
    expected = plain_walk(events, most)
    for places in ([0, n], [0, *sorted(min(c, n) for c in cuts), n], list(range(n + 1))):
        found = judged(fleet(most), events, places)
        assert (found.labels, found.resets) == (expected.labels, expected.resets)
        assert found.features == expected.features
        assert sorted(found.state) == sorted(expected.state)
    assert judged(fleet(most), events, [0, n]).state == found.state


@dataclass
class Device:
    """A device in the plain walk; `name` is another one for each life."""

    name: str
    seen_ms: int
    keys: list[tuple[int, int, float]] = field(default_factory=list)


def plain_walk(events: list[Event], most: int) -> Judged:
    """The rules, one event after the other, in Python; features are those of a state that never forgets."""
    known: dict[str, Device] = {}
    found, lives = Judged(), 0
    k, state = kernel(fleet(1)), DeviceState.of(fleet(1))
    for e in events:
        device = known.get(e.device)
        if device is not None and e.ms - device.seen_ms > SILENCE_MS:
            device = None
        if device is None:
            if e.device not in known and len(known) >= most:
                make_room(known, e.ms, most)
            lives += 1
            device = known[e.device] = Device(f"{e.device} {lives}", e.ms)
        label, begins = plain_verdict(e, device)
        found.labels.append(label)
        found.resets.append(begins)
        if label == "admitted":
            device.seen_ms = e.ms
            device.keys.append((e.run, e.seq, e.x))
            row, reset = np.array([[e.x]], np.float32), np.array([begins])
            found.features.append(k.advance(state, state.slots([device.name]), row, reset).tobytes())
    found.state = dict.fromkeys(known, b"")
    return found


def plain_verdict(e: Event, device: Device) -> tuple[str, bool]:
    if not device.keys:
        return "admitted", True
    newest = device.keys[-1]
    if (e.run, e.seq) > newest[:2]:
        return "admitted", e.run != newest[0]
    for run, seq, x in device.keys[-8:]:
        if (run, seq) == (e.run, e.seq):
            return ("duplicate" if x == e.x else "conflict"), False
    return "late", False


def make_room(known: dict[str, Device], now_ms: int, most: int) -> None:
    for name in [name for name, d in known.items() if now_ms - d.seen_ms > SILENCE_MS]:
        del known[name]
    if len(known) >= most:
        by_silence = sorted(known, key=lambda name: (known[name].seen_ms, name))
        for name in by_silence[: -(-most // 8)]:
            del known[name]
