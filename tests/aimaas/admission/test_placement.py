"""A device belongs in the partition that its key leads to; elsewhere it is refused, or told of, when it is new there."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimaas.admission.judge import Batch, Judge, Reason
from aimaas.admission.partitioner import leading_elsewhere, partition_of
from aimaas.fleet import FleetSpec
from aimaas.kernel.state import DeviceState
from tests.aimaas.kernel.test_eviction import NOW_MS, event, fleet
from tests.partitioners import anywhere

NAMES = [f"d{i}" for i in range(12)]
HERE = [d for d in NAMES if partition_of(d.encode(), 2) == 0]
ELSEWHERE = [d for d in NAMES if partition_of(d.encode(), 2) == 1]


def spec(devices: int = 100) -> FleetSpec:
    return fleet(devices, partitions=2)


def judged(
    rules: FleetSpec, sent: list[tuple[str, int]], state: DeviceState | None = None, partition: int | None = 0
) -> Batch:
    """Events (device, sequence number) in partition 0 of 2."""
    judge, events = Judge(rules), [event(device, seq) for device, seq in sent]
    batch = judge.decode([e.key for e in events], [e.value for e in events])
    state = DeviceState.of(rules) if state is None else state
    judge.order(batch, np.full(len(events), NOW_MS), state, partition=partition)
    return batch


def labels(batch: Batch) -> list[str]:
    return [Reason(r).label for r in batch.reason]


def test_of_devices_those_that_lead_elsewhere_are_told_with_where() -> None:
    assert leading_elsewhere(NAMES, 0, 2) == dict.fromkeys(ELSEWHERE, 1)
    assert leading_elsewhere(NAMES, 0, 1) == {}


def test_a_new_device_whose_key_leads_elsewhere_is_refused_until_its_producer_is_set_right() -> None:
    state = DeviceState.of(spec())

    batch = judged(spec(), [(HERE[0], 1), (ELSEWHERE[0], 1), (ELSEWHERE[0], 2), (HERE[0], 2)], state)

    assert labels(batch) == ["admitted", "wrong_partition", "wrong_partition", "admitted"]
    assert batch.detail[1] == (
        "partition 0, but murmur2 chooses 1 of 2 for its key: set the producer's partitioner to murmur2_random, or "
        "topics.partitioner in the fleet file to any"
    )
    assert ELSEWHERE[0] not in state
    assert not batch.strays


def test_a_device_that_is_known_here_stays_until_it_is_forgotten() -> None:
    state = DeviceState.of(spec())
    state.unpack(ELSEWHERE[0], one_device(ELSEWHERE[0]))

    assert labels(judged(spec(), [(ELSEWHERE[0], 8)], state)) == ["admitted"]
    state.forget(ELSEWHERE[0])
    assert labels(judged(spec(), [(ELSEWHERE[0], 9)], state)) == ["wrong_partition"]


def one_device(device: str) -> bytes:
    state = DeviceState.of(spec())
    judged(anywhere(spec()), [(device, 7)], state)
    return state.pack(0)


def test_what_is_refused_for_another_reason_keeps_it() -> None:
    assert labels(judged(spec(), [(ELSEWHERE[0], -1)])) == ["schema"]


def test_where_the_partition_is_not_known_nothing_is_refused_for_it() -> None:
    assert labels(judged(spec(), [(ELSEWHERE[0], 1)], partition=None)) == ["admitted"]


def test_where_any_partitioner_goes_the_device_is_admitted_and_told_of_once() -> None:
    state, rules = DeviceState.of(spec()), anywhere(spec())

    first = judged(rules, [(HERE[0], 1), (ELSEWHERE[0], 1), (ELSEWHERE[0], 2)], state)
    second = judged(rules, [(ELSEWHERE[0], 3), (HERE[1], 1)], state)

    assert labels(first) + labels(second) == ["admitted"] * 5
    assert (first.strays, second.strays) == ({ELSEWHERE[0]: 1}, {})


def test_a_device_that_belongs_elsewhere_makes_nobody_be_forgotten() -> None:
    state = DeviceState.of(spec(4))  # two in each partition

    batch = judged(spec(4), [(HERE[0], 1), (HERE[1], 1), (ELSEWHERE[0], 1), (HERE[0], 2)], state)

    assert (batch.forgotten, sorted(device for device, _ in state.devices)) == ([], sorted(HERE[:2]))


records = st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 6)), max_size=60)


@settings(max_examples=100)
@given(
    records, st.lists(st.integers(0, 60), max_size=6), st.lists(st.sampled_from(ELSEWHERE), max_size=4), st.booleans()
)
def test_verdicts_do_not_depend_on_the_cut_with_misplaced_devices_known_and_forgotten_on_the_way(
    sent: list[tuple[str, int]], cuts: list[int], known: list[str], refuses: bool
) -> None:
    rules = spec(8) if refuses else anywhere(spec(8))
    found: list[Any] = []
    for places in ([0, len(sent)], [0, *sorted(min(c, len(sent)) for c in cuts), len(sent)]):
        state, verdicts = DeviceState.of(rules), []
        for device in known:
            state.unpack(device, one_device(device))
        for begin, end in pairwise(places):
            batch = judged(rules, sent[begin:end], state)
            verdicts += [(label, batch.detail.get(i)) for i, label in enumerate(labels(batch))]
        found.append((verdicts, {device: state.pack(slot) for device, slot in state.devices}))
    assert found[0] == found[1]


@pytest.mark.parametrize("partitions", [1, 2, 7])
def test_every_device_has_just_one_partition_where_it_is_admitted(partitions: int) -> None:
    rules = fleet(100, partitions)
    for device in NAMES:
        admitted = [p for p in range(partitions) if labels(judged(rules, [(device, 1)], partition=p)) == ["admitted"]]
        assert admitted == [partition_of(device.encode(), partitions)]
