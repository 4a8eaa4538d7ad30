"""Alert rules on the devices of one partition: episodes, stretches, silence, eviction, restarts and changed rules."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimaas.records.alerts import Alert
from tests.stream.alerts.conftest import Partition, Sent, fleet_with

LOW = {"low": {"when": "prediction < 30", "summary": "{device_id}: {prediction:.1f} left"}}
DAY_MS = 1_764_547_200_000


def sent(*readings: float, device: str = "p-1", every_ms: int = 1_000, first_ms: int = DAY_MS) -> list[Sent]:
    return [Sent(device, reading, first_ms + i * every_ms) for i, reading in enumerate(readings)]


def episodes(alerts: list[Alert]) -> list[tuple[str, int | None, str]]:
    return [(a.status, a.seq, a.reason) for a in alerts]


def test_an_alert_fires_once_and_resolves_once() -> None:
    part = Partition(fleet_with(LOW))
    part.send(sent(5, 2, 1, 2, 4, 6))

    firing, resolved = part.alerts
    assert (firing.status, firing.seq, firing.source, firing.prediction) == ("firing", 1, "iot.presses.events/0/1", 20)
    assert firing.annotations == {"summary": "p-1: 20.0 left"}
    assert (resolved.status, resolved.seq, resolved.reason) == ("resolved", 4, "clear")
    assert firing.alert_id == resolved.alert_id == "low:iot.presses.events/0/1"
    assert firing.id != resolved.id
    assert (resolved.starts_at, resolved.ends_at) == (firing.starts_at, resolved.ts)
    assert part.topic == {}


@pytest.mark.parametrize(
    ("rule", "readings", "expected"),
    [
        ({"for": "3 events"}, [2, 2, 5, 2, 2, 2, 2], [("firing", 5, "")]),
        ({"for": "3s"}, [2, 2, 2, 2, 2], [("firing", 3, "")]),
        ({"clear": "prediction > 50"}, [2, 4, 2, 5.5], [("firing", 0, ""), ("resolved", 3, "clear")]),
        ({"keep_firing_for": "2 events"}, [2, 4, 2, 4, 4], [("firing", 0, ""), ("resolved", 4, "clear")]),
        ({"keep_firing_for": "2s"}, [2, 4, 4, 4], [("firing", 0, ""), ("resolved", 3, "clear")]),
        ({"clear": "load > 1"}, [2, 2, 4], [("firing", 0, ""), ("resolved", 2, "clear")]),  # not while `when` is true
        ({"for": "2 events"}, [2, math.nan, 2], [("firing", 2, "")]),  # a missing value changes nothing
        ({}, [2, math.nan, 4], [("firing", 0, ""), ("resolved", 2, "clear")]),
        ({"when": "double > 10 and not load == 7"}, [5, 6, 7], [("firing", 1, ""), ("resolved", 2, "clear")]),
        ({"when": "upper < 30"}, [2.6, 2.4], [("firing", 1, "")]),
        ({"when": "load / load > 0"}, [0, 1], [("firing", 1, "")]),  # no division by zero is a value
    ],
)
def test_a_stretch_counts_events_or_broker_time(
    rule: dict[str, Any], readings: list[float], expected: list[tuple[str, int, str]]
) -> None:
    part = Partition(fleet_with({"low": {"when": "prediction < 30", **rule}}))
    part.send(sent(*readings))
    assert episodes(part.alerts) == expected


def test_noise_inside_the_band_of_hysteresis_gives_one_episode() -> None:
    part = Partition(fleet_with({"low": {"when": "prediction < 30", "clear": "prediction > 45"}}))
    part.send(sent(6, *[2.9, 3.1, 4.4] * 50, 4.6, 3.1))
    assert [a.status for a in part.alerts] == ["firing", "resolved"]


QUIET = {"quiet": {"absent_for": "1m", "severity": "critical", "summary": "{device_id} is silent"}}


def test_silence_fires_once_the_partition_was_read_past_the_deadline_and_the_next_event_resolves_it() -> None:
    part = Partition(fleet_with(QUIET))
    part.send(sent(1, 1))
    part.send(sent(1, device="p-2", first_ms=DAY_MS + 61_000))
    assert part.alerts == []
    part.send(sent(1, device="p-2", first_ms=DAY_MS + 61_001))

    part.send(sent(1, first_ms=DAY_MS + 90_000))
    firing, resolved = part.alerts
    assert (firing.device_id, firing.seq, firing.source, firing.prediction) == ("p-1", 1, None, None)
    assert firing.starts_at.timestamp() * 1e3 == DAY_MS + 61_000
    assert (resolved.seq, resolved.reason, resolved.alert_id) == (2, "returned", firing.alert_id)


def test_silence_is_the_same_whoever_noticed_it() -> None:
    by_time, by_return = Partition(fleet_with(QUIET)), Partition(fleet_with(QUIET))
    for part in (by_time, by_return):
        part.send(sent(1))
    by_time.pass_time(DAY_MS + 100_000)
    by_time.pass_time(DAY_MS + 200_000)
    for part in (by_time, by_return):
        part.send(sent(1, first_ms=DAY_MS + 300_000))
    assert by_time.alerts == by_return.alerts
    assert [a.status for a in by_time.alerts] == ["firing", "resolved"]


def test_an_evicted_device_resolves_its_alerts() -> None:
    part = Partition(fleet_with({**LOW, **QUIET}, devices=2))
    part.send(sent(2) + sent(2, device="p-2", first_ms=DAY_MS + 1) + sent(9, device="p-3", first_ms=DAY_MS + 2))
    assert [(a.device_id, a.status, a.reason) for a in part.alerts] == [
        ("p-1", "firing", ""), ("p-2", "firing", ""), ("p-1", "resolved", "evicted"),
    ]  # fmt: skip
    assert set(part.saved()) == {"p-2"}


def test_a_changed_rule_fires_nothing_that_fires_already_and_counts_anew() -> None:
    part = Partition(fleet_with({"low": {"when": "prediction < 30"}, "slow": {"when": "load < 3", "for": "3 events"}}))
    part.send(sent(2, 2))
    part.restart(fleet_with({"low": {"when": "prediction < 40"}, "slow": {"when": "load < 4", "for": "3 events"}}))
    part.send(sent(2, 2, first_ms=DAY_MS + 9_000))
    assert [(a.rule, a.status) for a in part.alerts] == [("low", "firing")]
    part.send(sent(2, 9, first_ms=DAY_MS + 20_000))
    assert [(a.rule, a.status) for a in part.alerts[1:]] == [
        ("slow", "firing"),
        ("low", "resolved"),
        ("slow", "resolved"),
    ]


def test_a_removed_rule_resolves_with_a_reason() -> None:
    part = Partition(fleet_with(LOW))
    part.send(sent(2))
    part.restart(fleet_with({}))
    assert episodes(part.alerts) == [("firing", 0, ""), ("resolved", 0, "rule removed")]
    assert part.topic == {}


MANY = {
    "low": {"when": "prediction < 30", "for": "2 events", "clear": "prediction > 45", "keep_firing_for": "2 events"},
    "long": {"when": "load < 4", "for": "3s", "keep_firing_for": "2s"},
    "now": {"when": "double > 9 or load < -1"},
    "quiet": {"absent_for": "5s"},
}
READINGS = st.sampled_from([-2.0, 2.0, 3.0, 4.0, 4.6, 6.0, math.nan])
EVENTS = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c", "d"]), READINGS, st.sampled_from([0, 300, 1_000, 2_500, 6_000])),
    max_size=40,
)


@given(EVENTS, st.lists(st.integers(0, 40), max_size=6), st.data())
def test_any_cut_into_batches_and_any_restart_gives_the_same_alerts_of_each_device(
    steps: list[tuple[str, float, int]], cuts: list[int], data: st.DataObject
) -> None:
    fleet, at, stream = fleet_with(MANY, devices=3), DAY_MS, []
    for device, reading, after_ms in steps:
        at += after_ms
        stream.append(Sent(device, reading, at))
    whole, cut = Partition(fleet), Partition(fleet)
    whole.send(stream)
    ends = sorted({min(c, len(stream)) for c in cuts} | {0, len(stream)})
    for begin, end in pairwise(ends):
        cut.send(stream[begin:end])
        if data.draw(st.booleans()):
            cut.restart()
    for part in (whole, cut):
        part.pass_time(at + 60_000)

    for device in ("a", "b", "c", "d"):
        mine = [[a for a in part.alerts if a.device_id == device] for part in (whole, cut)]
        assert mine[0] == mine[1]
        for rule in MANY:
            its = [a for a in mine[0] if a.rule == rule]
            assert [a.status for a in its] == (["firing", "resolved"] * len(its))[: len(its)]
    assert whole.saved() == cut.saved()
    assert len({a.id for a in whole.alerts}) == len(whole.alerts)
