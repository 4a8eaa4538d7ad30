"""State with devices forgotten on the way, or in a jump, comes back the same to the bit, killed at any commit border. No broker."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimaas.admission.judge import Judge
from aimaas.fleet import FleetSpec
from aimaas.kernel.features import Kernel, kernel_of
from aimaas.kernel.fit import Fit
from aimaas.kernel.plan import plan_of
from aimaas.records.events import encode_event
from stream.state.partition import PartitionState, Records
from stream.state.records import StateRecord, deletion, device_record, is_snapshot
from stream.state.saved import Saved
from stream.state.topic import Replay, unpacked

TS = datetime(2026, 11, 23, 10, tzinfo=UTC)
NOW_MS = 1_795_428_000_000
SILENCE_MS = 60_000
GAP = 2  # offsets that markers take between batches


class Message:
    """A record of the state topic as the client hands it out."""

    def __init__(self, record: StateRecord) -> None:
        self.key, self.value = lambda: record.key, lambda: record.value


class Part(NamedTuple):
    """Events of one batch (device, sequence number, milliseconds since the one before), and the credit its commit has."""

    events: list[tuple[int, int, int]]
    credit: int
    commits: bool


class Commit(NamedTuple):
    """What is on the broker after a commit, and what was in memory."""

    position: int
    topic: int  # records of the state topic
    memory: dict[str, Any]


def fleet(devices: int) -> FleetSpec:
    return FleetSpec.model_validate({
        "fleet": "pump", "version": 1, "sensors": {"x": {"name": "x", "unit": "1", "range": [0, 100]}},
        "features": {"windows": [2, 4], "first": 2}, "task": {"kind": "remaining_useful_life", "unit": "cycles", "cap": 9},
        "training": {"candidates": {"ridge": {}}}, "topics": {"partitions": 1},
        "limits": {"devices": devices, "silence_s": SILENCE_MS / 1e3, "skew_s": 3600, "jump": 10},
    })  # fmt: skip


def kernel(spec: FleetSpec) -> Kernel:
    return kernel_of(plan_of(spec), Fit(((),), (), ((3.0,),), ((0.7,),)))


class Run:
    """A scorer of one partition on plain data: its log, its state topic, and what was in memory at each commit."""

    def __init__(self, most: int) -> None:
        self.limit(most)
        self.kernel = kernel(self.fleet)
        self.state = PartitionState.empty(self.fleet, 0, 0)
        self.log: list[Records] = []
        self.topic: list[StateRecord] = []
        self.commits: list[Commit] = []
        self._now_ms = NOW_MS

    def limit(self, most: int) -> None:
        self.fleet = fleet(most)
        self.judge = Judge(self.fleet)

    def take(self, part: Part) -> None:
        keys, values, ms = [], [], []
        for device, seq, step_ms in part.events:
            self._now_ms += step_ms
            keys.append(f"d{device}".encode())
            values.append(encode_event("pump", f"d{device}", 0, seq, TS, {"x": float(seq)}))
            ms.append(self._now_ms)
        begin = self.state.position + GAP
        records = Records(keys, values, np.arange(begin, begin + len(keys)), np.array(ms, np.int64))
        self.log.append(records)
        self.state.advance(self.judge, self.kernel, records)
        self.state.credit_bytes += part.credit
        if part.commits:
            self.commit()

    def commit(self) -> None:
        self.topic += self.state.records_to_write()
        self.commits.append(Commit(self.state.position, len(self.topic), memory(self.state)))

    def restored(self, commit: Commit, topic: int | None = None) -> PartitionState:
        """State at a commit, from the first `topic` records of the state topic and the input since."""
        saved = Saved()
        for record in self.topic[: commit.topic if topic is None else topic]:
            saved.take(Message(record))
        upto = saved.upto()
        state = unpacked(self.fleet, 0, commit.position, saved)
        replay = Replay(state, upto)
        for records in self.log:
            wanted = [i for i, o in enumerate(records.offsets) if (saved.replay_from or 0) <= o < commit.position]
            if wanted:
                replay.take(records.only(wanted), self.judge, self.kernel)
        state.position = commit.position
        return state


def memory(state: PartitionState) -> dict[str, Any]:
    """All that must come back of a state."""
    return {
        "devices": {d: state.devices.pack(slot) for d, slot in state.devices.devices},
        "position": state.position,
        "replay_from": state.replay_from,
        "dirty": state.dirty,
        "forgotten": sorted(state.forgotten.items()),
    }


@st.composite
def parts(draw: Any) -> list[Part]:
    """About twelve batches of few devices, with much silence, counters that jump, and a random credit for snapshots after each."""
    step = st.sampled_from([0, 0, 0, 1, 1_000, SILENCE_MS + 1])
    seqs = dict.fromkeys(range(12), 0)
    found = []
    for _ in range(draw(st.integers(2, 12))):
        events = []
        for device, step_ms in draw(st.lists(st.tuples(st.integers(0, 11), step), min_size=5, max_size=14)):
            seqs[device] = max(seqs[device] + draw(st.sampled_from([1, 1, 1, 1, 0, 30, -30])), 0)
            events.append((device, seqs[device], step_ms))
        found.append(Part(events, draw(st.sampled_from([0, 0, 300, 900, 100_000])), draw(st.booleans())))
    return found


@settings(max_examples=60)
@given(parts(), st.integers(1, 8))
def test_state_is_the_same_after_a_kill_at_any_commit(batches: list[Part], most: int) -> None:
    run = Run(most)
    for part in batches:
        run.take(part)
    for commit in run.commits:
        assert memory(run.restored(commit)) == commit.memory


@settings(max_examples=50)
@given(parts(), st.integers(1, 8), st.data())
def test_state_is_the_same_where_the_newest_commits_of_the_state_topic_do_not_show_yet(
    batches: list[Part], most: int, data: st.DataObject
) -> None:
    run = Run(most)
    run.commit()
    for part in batches:
        run.take(part)
    run.commit()
    older = data.draw(st.sampled_from(run.commits))
    found = run.restored(run.commits[-1], older.topic)
    assert memory(found)["devices"] == run.commits[-1].memory["devices"]
    assert len(found.devices) <= most


@settings(max_examples=50)
@given(parts(), st.integers(1, 8), st.data())
def test_state_is_the_same_where_a_scorer_that_was_put_out_writes_its_older_records_again(
    batches: list[Part], most: int, data: st.DataObject
) -> None:
    run = Run(most)
    for part in batches:
        run.take(part)
    run.commit()
    last_of = {record.key: record for record in run.topic}
    older = [r for r in run.topic if r.value and last_of[r.key].value]  # of what is not deleted by now
    run.topic += data.draw(st.lists(st.sampled_from(older), max_size=20)) if older else []

    assert memory(run.restored(run.commits[-1], len(run.topic))) == run.commits[-1].memory


@settings(max_examples=50)
@given(parts(), parts(), st.integers(1, 8), st.data())
def test_a_restored_state_goes_on_like_the_lost_one_over_further_kills(
    before: list[Part], after: list[Part], most: int, data: st.DataObject
) -> None:
    undisturbed, killed = Run(most), Run(most)
    for part in before + after:
        undisturbed.take(part._replace(commits=True))
        killed.take(part._replace(commits=True))
        if data.draw(st.booleans()):
            killed.state = killed.restored(killed.commits[-1])
    assert memory(killed.state)["devices"] == memory(undisturbed.state)["devices"]
    for commit in killed.commits:
        assert memory(killed.restored(commit))["devices"] == commit.memory["devices"]


@settings(max_examples=50)
@given(parts(), parts(), st.integers(1, 4))
def test_after_the_limit_was_lowered_state_still_comes_back(before: list[Part], after: list[Part], most: int) -> None:
    run = Run(8)
    for part in before:
        run.take(part)
    run.commit()
    run.limit(most)
    run.state = run.restored(run.commits[-1])
    run.commits.clear()
    for part in after:
        run.take(part)
    for commit in run.commits:
        assert memory(run.restored(commit)) == commit.memory


def test_a_note_is_in_the_commit_that_forgets_and_is_deleted_once_the_replay_offset_has_passed_it() -> None:
    run = Run(2)
    run.take(Part([(1, 1, 0), (2, 1, 1), (3, 1, 1)], 0, True))  # offsets 2 to 4: the third makes the first be forgotten
    assert device_record("d1", 5) in run.topic
    run.take(Part([(2, 2, 1)], 100_000, True))
    assert deletion("d1") in run.topic[len(run.topic) - 4 :]
    assert run.state.forgotten == {}


@pytest.mark.parametrize("credits", [[0, 0], [100_000, 0], [100_000, 100_000]])
def test_a_device_that_comes_back_has_a_snapshot_that_no_late_deletion_takes_away(credits: list[int]) -> None:
    run = Run(2)
    run.take(Part([(1, 1, 0), (2, 1, 1), (3, 1, 1), (1, 2, 1)], credits[0], True))
    run.take(Part([(1, 3, 1)], credits[1], True))
    run.take(Part([(3, 2, 1)], 100_000, True))
    assert sorted(memory(run.restored(run.commits[-1]))["devices"]) == ["d1", "d3"]
    assert memory(run.restored(run.commits[-1])) == run.commits[-1].memory


@pytest.mark.parametrize("most", [1, 2, 3])
def test_nobody_is_forgotten_at_a_time_whose_events_a_snapshot_holds(most: int) -> None:
    run = Run(8)
    run.take(Part([(1, 1, 0), (2, 1, 1), (3, 1, 1), (4, 1, 1), (1, 2, 1), (2, 2, 1), (3, 2, 1)], 600, True))
    assert sum(map(is_snapshot, run.topic)) == 3  # the fourth is read again, and new then
    run.limit(most)
    run.state = run.restored(run.commits[-1])
    assert memory(run.state) == run.commits[-1].memory
    run.take(Part([(4, 2, 1), (5, 1, 1)], 0, True))
    assert memory(run.restored(run.commits[-1])) == run.commits[-1].memory


def test_a_slot_that_serves_another_device_in_the_same_batch_waits_for_the_other_ones_snapshot() -> None:
    run = Run(1)
    run.take(Part([(1, 1, 0), (2, 1, 1)], 100_000, True))
    assert run.commits[-1].memory["devices"].keys() == {"d2"}
    assert [r.key for r in run.topic if r.value and len(r.value) > 8 and r.key[:1] == b"d"] == [b"d2"]
