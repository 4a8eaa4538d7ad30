"""Alerts on a real broker: each episode fires and resolves once, in the transaction of its predictions, through kills and moves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import msgspec
import pytest

from aimaas.kafka import read_all
from aimaas.records.alerts import Alert
from aimaas.settings import Settings
from tests.stream.conftest import Line, open_line

pytestmark = pytest.mark.broker

RULES: dict[str, Any] = {
    "hot": {"when": "s2 > 642.5 and prediction > 0", "for": "2 events", "clear": "s2 < 642.3", "severity": "critical"},
    "odd": {"when": "s3 > 1590", "keep_firing_for": "3 events", "summary": "{device_id}: {s3:.1f}"},
}
_alert = msgspec.json.Decoder(Alert)


@pytest.fixture
def line(settings: Settings, tmp_path: Any, request: pytest.FixtureRequest) -> Iterator[Line]:
    with open_line(settings, tmp_path, request.node.nodeid, rules=RULES) as made:
        yield made


def alerts_of(line: Line) -> list[bytes]:
    return [cast(bytes, r.value) for r in read_all(line.settings, line.names.alerts)]


def by_device(values: list[bytes]) -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = {}
    for value in values:
        found.setdefault(_alert.decode(value).device_id, []).append(value)
    return found


def test_alerts_are_the_same_bytes_through_kills_and_moves(line: Line) -> None:
    champion, events = line.champion(), line.events(devices=6)
    third = len(events) // 3
    line.send(events[:third])
    first, second = line.start_process("0"), line.start_process("1")
    line.wait_for(third // 2)
    first.kill()
    first.wait(10)
    line.send(events[third : 2 * third])
    third_one = line.start_process("0")
    line.wait_for(third + third // 2)
    second.kill()
    second.wait(10)
    line.send(events[2 * third :])
    line.wait_for(len(events))
    third_one.kill()
    third_one.wait(10)
    line.score_all(len(events))

    assert line.scored() == line.undisturbed(champion)[0]
    wanted = line.undisturbed_alerts(champion)
    assert len(wanted) > 20
    assert by_device(alerts_of(line)) == by_device(wanted)


def test_a_silent_device_fires_in_a_quiet_partition_and_resolves_when_it_returns(
    settings: Settings, tmp_path: Any, request: pytest.FixtureRequest
) -> None:
    with open_line(settings, tmp_path, request.node.nodeid, rules={"quiet": {"absent_for": "2s"}}) as line:
        line.champion()
        events = line.events(devices=2)
        line.send(events[:40])
        with line.scorer():
            line.wait_for(40)
            fired = wait_for_alerts(line, 2)
            assert {a.device_id for a in fired} == {key.decode() for key, _ in events[:40]}
            assert {a.status for a in fired} == {"firing"}
        line.send(events[40:60])
        line.score_all(60)
        ended = [a for a in map(_alert.decode, alerts_of(line)) if a.status == "resolved"]
        assert {a.alert_id for a in ended} == {a.alert_id for a in fired}
        assert {a.reason for a in ended} == {"returned"}


def wait_for_alerts(line: Line, count: int) -> list[Alert]:
    line.wait_for(0, alerts=count)
    return [_alert.decode(value) for value in alerts_of(line)]


def test_a_rule_that_went_resolves_its_alerts_and_a_changed_one_keeps_them(line: Line) -> None:
    line.champion()
    events = line.events(devices=6)
    line.send(events)
    line.score_all(len(events))
    before = [_alert.decode(value) for value in alerts_of(line)]
    still = {a.alert_id for a in before} - {a.alert_id for a in before if a.status == "resolved"}
    assert {a.rule for a in before if a.alert_id in still} == {"hot", "odd"}

    line.fleet = line.fleet.model_validate(
        line.fleet.model_dump() | {"rules": {"hot": RULES["hot"] | {"when": "s2 > 643"}}}
    )
    with line.scorer():
        ended = wait_for_alerts(line, len(before) + sum(a.rule == "odd" for a in before if a.alert_id in still))
    known = {a.id for a in before}
    new = [a for a in ended if a.id not in known]
    assert {(a.rule, a.status, a.reason) for a in new} == {("odd", "resolved", "rule removed")}
    assert {a.alert_id for a in new} == {i for i in still if i.startswith("odd")}
    line.score_all(len(events))
    assert len(alerts_of(line)) == len(ended)
