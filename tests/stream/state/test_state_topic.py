"""State comes back from snapshots and the input since, the same to the bit."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Producer

from aimaas.admission.judge import Judge
from aimaas.fleet import load_fleet
from aimaas.kafka import end_offsets, producer_config, read_all
from aimaas.kernel.features import kernel_of
from aimaas.kernel.fit import Fit
from aimaas.kernel.plan import plan_of
from aimaas.kernel.state import DeviceState
from aimaas.records.events import encode_event
from stream.state import topic
from stream.state.partition import PartitionState, Records
from stream.state.records import (
    POSITION,
    REPLAY_FROM,
    StateRecord,
    deletion,
    device_record,
    offset_of,
    packed_of,
    replay_record,
)
from stream.state.saved import Saved, read_saved
from stream.state.topic import restore
from tests.conftest import FLEETS
from tests.partitioners import anywhere
from tests.stream.conftest import Line


class Message:
    """A record of the state topic."""

    def __init__(self, record: StateRecord) -> None:
        self._record = record

    def key(self) -> bytes:
        return self._record.key

    def value(self) -> bytes | None:
        return self._record.value


def saved(replay_from: int | None, newest_snapshot: int | None = None) -> Saved:
    found = Saved()
    if replay_from is not None:
        found.take(Message(replay_record(replay_from)))
    if newest_snapshot is not None:
        found.take(Message(device_record("d", newest_snapshot)))
    return found


@pytest.mark.parametrize(
    ("records", "kept"),
    [
        ([device_record("d", 5, b"old"), device_record("d", 9, b"new")], b"new"),
        ([device_record("d", 9, b"new"), device_record("d", 5, b"old")], b"new"),  # of a scorer that was put out
        ([device_record("d", 9, b"new"), device_record("d", 9)], b""),  # forgotten since, by a person
        ([device_record("d", 9), device_record("d", 9, b"back")], b"back"),
        ([device_record("d", 9, b"gone"), deletion("d"), device_record("d", 5, b"moved here")], b"moved here"),
    ],
)
def test_the_record_that_holds_more_of_the_input_counts_whatever_came_last(
    records: list[StateRecord], kept: bytes
) -> None:
    found = Saved()
    for record in records:
        found.take(Message(record))
    assert {key: packed_of(value) for key, value in found.devices.items()} == {b"d": kept}


def test_the_input_is_read_again_from_where_the_furthest_snapshots_end_until_the_topic_is_emptied() -> None:
    found = saved(9)
    found.take(Message(replay_record(4)))
    assert found.replay_from == 9
    found.take(Message(StateRecord(REPLAY_FROM, None)))
    found.take(Message(replay_record(4)))
    assert found.replay_from == 4


def as_records(messages: list[Any]) -> Records:
    return Records(
        [m.key for m in messages], [m.value for m in messages],
        np.array([m.offset for m in messages], np.int64), np.array([m.timestamp_ms for m in messages], np.int64),
    )  # fmt: skip


def packed(state: DeviceState) -> dict[str, bytes]:
    return {device: state.pack(slot) for device, slot in state.devices}


def make_kernel(line: Line) -> Any:
    plan = plan_of(line.fleet)
    c = len(plan.channels)
    return kernel_of(plan, Fit(((0.0,) * plan.settings,), (0.0,) * plan.settings, ((0.0,) * c,), ((1.0,) * c,)))


@pytest.mark.broker
def test_restored_state_equals_the_state_that_was_lost_however_much_was_in_snapshots(line: Line) -> None:
    line.send(line.events(devices=6)[:600])
    every = read_all(line.settings, line.names.events)
    p = Counter(r.partition for r in every).most_common(1)[0][0]
    records = [r for r in every if r.partition == p]
    judge, kernel = Judge(line.fleet), make_kernel(line)
    lost, written = PartitionState.empty(line.fleet, p, 0), []
    for begin in range(0, len(records), 37):
        lost.advance(judge, kernel, as_records(records[begin : begin + 37]))
        lost.credit_bytes += 5_000 if begin + 37 < len(records) else 0  # about two devices; none at the end
        written += lost.records_to_write()
    assert lost.dirty > 0  # or there is nothing to read again
    write_in_partition(line, written, p)

    restored = restore(line.settings, line.fleet, judge, kernel, {p: lost.position})

    found = restored.states[p]
    assert packed(found.devices) == packed(lost.devices)
    assert (found.position, found.replay_from) == (lost.position, lost.replay_from)
    assert restored.state_bytes == sum(len(r.key) + len(r.value or b"") for r in written)
    again = [r for r in records if r.offset >= lost.replay_from]
    assert 0 < restored.events <= len(again)
    assert 0 < restored.event_bytes <= sum(len(r.value or b"") for r in again)
    assert restored.seconds > 0


@pytest.mark.broker
def test_restored_state_equals_the_lost_one_with_devices_forgotten_between_any_commits(line: Line) -> None:
    limits = line.fleet.limits.model_copy(update={"devices": 2 * 3})
    fleet = line.fleet.model_copy(update={"limits": limits})
    line.send(line.events(devices=20)[:900])
    every = read_all(line.settings, line.names.events)
    p = Counter(r.partition for r in every).most_common(1)[0][0]
    records = [r for r in every if r.partition == p]
    judge, kernel = Judge(fleet), make_kernel(line)
    lost, kinds = PartitionState.empty(fleet, p, 0), Counter[str]()
    for i, begin in enumerate(range(0, len(records), 29)):
        lost.advance(judge, kernel, as_records(records[begin : begin + 29]))
        lost.credit_bytes += 9_000
        written = lost.records_to_write()
        kinds.update("deleted" if r.value is None else "note" if len(r.value) == 8 else "snapshot" for r in written)
        write_in_partition(line, written, p)
        if i % 4 == 3:
            found = restore(line.settings, fleet, judge, kernel, {p: lost.position}).states[p]
            assert packed(found.devices) == packed(lost.devices)
            assert (found.replay_from, found.forgotten) == (lost.replay_from, lost.forgotten)
    assert min(kinds["deleted"], kinds["note"], kinds["snapshot"]) > 0


@pytest.mark.broker
def test_a_restore_does_not_wait_for_a_transaction_that_another_left_open(line: Line) -> None:
    line.send(line.events(devices=2)[:20])
    open_one = Producer(
        producer_config(line.settings, transactional_id=line.fleet.fleet, transaction_timeout_ms=60_000)
    )
    open_one.init_transactions(30)
    open_one.begin_transaction()
    open_one.produce(line.names.state, b"\0" * 8, REPLAY_FROM, 0)
    open_one.flush(30)
    ends = end_offsets(line.settings, line.names.events)

    found = restore(line.settings, line.fleet, Judge(line.fleet), make_kernel(line), ends)

    open_one.abort_transaction(30)
    assert sum(len(state.devices) for state in found.states.values()) == 2


@pytest.mark.broker
def test_a_restore_holds_the_packed_records_of_one_partition_at_a_time(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    for p in (0, 1):
        write_in_partition(line, [device_record(f"d{p}", 0)], p)
    held: list[Saved] = []

    def watched(reader: Any, name: str, partitions: list[int]) -> dict[int, Saved]:
        assert not any(earlier.devices for earlier in held)
        found = read_saved(reader, name, partitions)
        assert sum(bool(saved.devices) for saved in found.values()) == 1
        held.extend(found.values())
        return found

    monkeypatch.setattr(topic, "read_saved", watched)

    found = restore(line.settings, line.fleet, Judge(line.fleet), make_kernel(line), {0: 0, 1: 0})

    assert {p: list(state.forgotten) for p, state in found.states.items()} == {0: ["d0"], 1: ["d1"]}
    assert len(held) == 2


def test_snapshots_are_taken_of_those_that_wait_longest_and_cost_no_more_than_the_credit(mill_state: Any) -> None:
    state, advance = mill_state
    advance(["a", "b", "c", "a"])
    state.credit_bytes = 1.0

    first = state.records_to_write()

    assert written_of(first) == [(b"a", 4), (REPLAY_FROM, 1)]
    assert (state.dirty, state.replay_from) == (2, 1)
    assert state.credit_bytes < 0
    advance(["a"])
    state.credit_bytes = 1e6
    assert written_of(state.records_to_write()) == [(b"b", 5), (b"c", 5), (b"a", 5), (REPLAY_FROM, 5)]
    assert (state.dirty, state.replay_from, state.credit_bytes) == (0, 5, 0.0)
    assert state.records_to_write() == []


def written_of(records: list[StateRecord]) -> list[tuple[bytes, int]]:
    """Keys, and the offsets that the values begin with; without the position, which comes with every commit."""
    return [(r.key, offset_of(r.value or b"")) for r in records if r.key != POSITION]


@pytest.fixture
def mill_state() -> Any:
    """A partition's state, and a function that puts one event each of the named devices into it."""
    fleet = anywhere(load_fleet(FLEETS / "mill.yaml"))
    plan, judge = plan_of(fleet), Judge(fleet)
    c = len(plan.channels)
    kernel = kernel_of(plan, Fit(((0.0,),), (0.0,), ((0.0,) * c,), ((1.0,) * c,)))
    state = PartitionState.empty(fleet, 0, 0)
    at = datetime(2026, 11, 23, tzinfo=UTC)
    readings: dict[str, float | None] = {
        n: r.fill_value for n, r in zip(fleet.readings, fleet.reading_specs, strict=True)
    }

    def advance(devices: list[str]) -> None:
        begin = state.position
        values = [encode_event("mill", d, 0, begin + i, at, readings) for i, d in enumerate(devices)]
        keys: list[bytes | None] = [d.encode() for d in devices]
        offsets = np.arange(begin, begin + len(devices))
        ms = np.full(len(devices), int(at.timestamp() * 1e3), np.int64)
        batch, _ = state.advance(judge, kernel, Records(keys, values, offsets, ms))
        assert not batch.reason.any()

    return state, advance


def write_in_partition(line: Line, records: list[StateRecord], partition: int) -> None:
    producer = Producer(producer_config(line.settings))
    for record in records:
        producer.produce(line.names.state, record.value, record.key, partition)
    assert producer.flush(30) == 0
