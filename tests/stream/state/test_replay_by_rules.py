"""Re-read input gives the state that it gave when it came, whatever became of the fleet file. Plain data, no broker."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from aimaas.admission.judge import Judge, Reason
from aimaas.admission.judges_by_offset import Judges, RuleBook
from aimaas.admission.rule_log import Since
from aimaas.admission.rules import digest_of, rules_of
from aimaas.fleet import FleetSpec, Reading, find_fleet
from aimaas.kernel.features import Kernel, kernel_of
from aimaas.kernel.fit import Fit
from aimaas.kernel.plan import plan_of
from aimaas.kernel.state import DeviceState
from aimaas.records.events import encode_event
from stream.state.partition import PartitionState, Records
from stream.state.topic import Replay
from tests.conftest import FLEETS
from tests.stream.state.test_state_topic import packed

AT = datetime(2026, 11, 23, 10, tzinfo=UTC)
AT_MS = int(AT.timestamp() * 1e3)
MILL = find_fleet(FLEETS, "mill")
OLD = MILL.model_copy(update={"topics": MILL.topics.model_copy(update={"partitions": 1})})
NAME = next(iter(OLD.sensors))
LOW, HIGH = OLD.sensors[NAME].range
N, SWITCH = 120, 70


def changed(**changes: Any) -> FleetSpec:
    return OLD.model_copy(update=changes)


WIDER = changed(sensors={**OLD.sensors, NAME: OLD.sensors[NAME].model_copy(update={"range": (LOW, HIGH + 1_000)})})
FEWER = changed(limits=OLD.limits.model_copy(update={"devices": 3}))
ADDED = Reading(name="added", unit="1", range=(0, 10), nullable=True, fill="previous")
LONGER = changed(sensors={"added": ADDED, **OLD.sensors})


def kernel(fleet: FleetSpec) -> Kernel:
    plan = plan_of(fleet)
    settings, channels = plan.settings, len(plan.channels)
    return kernel_of(plan, Fit(((0.0,) * settings,), (0.0,) * settings, ((0.0,) * channels,), ((1.0,) * channels,)))


def records() -> Records:
    """Events of eight devices, of which some are out of the range."""
    middle: dict[str, float | None] = {
        n: sum(r.range) / 2 for n, r in zip(OLD.readings, OLD.reading_specs, strict=True)
    }
    devices = [f"d{i * 7 % 8}" for i in range(N)]
    values = [
        encode_event(OLD.fleet, d, 0, i, AT, middle | {NAME: HIGH + 5} if i % 5 == 0 else middle | {NAME: LOW + i / N})
        for i, d in enumerate(devices)
    ]
    return Records([d.encode() for d in devices], values, np.arange(N), AT_MS + np.arange(N))


def by_rules(new: FleetSpec) -> Judges:
    digests = [digest_of(rules_of(f)) for f in (OLD, new)]
    book = RuleBook(new, {digests[0]: rules_of(OLD)})
    return Judges([Since(0, digests[0], AT), Since(SWITCH, digests[1], AT)], book)


@pytest.mark.parametrize("new", [WIDER, FEWER, LONGER], ids=["a wider range", "fewer devices", "a reading more"])
@pytest.mark.parametrize("size", [N, 31, 1])
def test_a_replay_across_a_change_of_the_fleet_file_gives_the_state_that_the_stream_had(
    new: FleetSpec, size: int
) -> None:
    whole = records()
    before = PartitionState.empty(OLD, 0, 0)
    early, _ = before.advance(Judge(OLD), kernel(OLD), whole.only(range(SWITCH)))
    assert set(early.reason[early.reason > 0]) == {Reason.OUT_OF_RANGE}
    lived = PartitionState.empty(new, 0, SWITCH)  # restarted with the new file, on snapshots of all devices
    for device, state in packed(before.devices).items():
        lived.devices.unpack(device, state)
    lived.advance(Judge(new), kernel(new), whole.only(range(SWITCH, N)))

    again = PartitionState.empty(new, 0, 0)
    for begin in range(0, N, size):
        Replay(again, {}).take(whole.only(range(begin, min(begin + size, N))), by_rules(new), kernel(new))

    assert packed(again.devices) == packed(lived.devices)
    by_present = PartitionState.empty(new, 0, 0)
    Replay(by_present, {}).take(whole, Judge(new), kernel(new))
    assert packed(by_present.devices) != packed(lived.devices)


def test_a_letter_that_the_new_file_admits_is_no_duplicate_after_the_restart() -> None:
    whole, state = records(), PartitionState.empty(WIDER, 0, 0)
    Replay(state, {}).take(whole.only(range(SWITCH)), by_rules(WIDER), kernel(WIDER))
    letter = max(i for i in range(0, SWITCH, 5))
    copy = Records([whole.keys[letter]], [whole.values[letter]], np.array([N]), np.array([AT_MS + N]))

    batch, _ = state.advance(Judge(WIDER), kernel(WIDER), copy)

    assert Reason(batch.reason[0]) in (Reason.ADMITTED, Reason.LATE)


def test_judges_cut_offsets_where_rules_change() -> None:
    judges = by_rules(WIDER)
    cuts = [
        [(s.start, s.stop) for _, s in judges.parts(np.array(offsets))] for offsets in ([], [5, 9], [60, 70, 90], [70])
    ]
    assert cuts == [[], [(0, 2)], [(0, 1), (1, 3)], [(0, 1)]]
    assert DeviceState.of(WIDER).readings == WIDER.readings
    (only,) = Judges([], RuleBook(WIDER, {})).parts(np.arange(3))
    assert (only[0].fleet, only[1]) == (WIDER, slice(0, 3))
