"""What the rules of a fleet file are, and a fleet file made of them again."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from aimaas.admission.rules import changes, digest_of, fleet_under, rules_of, widened
from aimaas.errors import StateError
from aimaas.fleet import FleetSpec, find_fleet
from tests.conftest import FLEETS

FLEET = find_fleet(FLEETS, "turbofan")


def changed(**changes: Any) -> FleetSpec:
    """The fleet file with other values below some of its top-level keys."""
    plain = FLEET.model_dump(mode="json", exclude_none=True)
    for key, value in changes.items():
        plain[key] = {**plain[key], **value} if isinstance(value, dict) else value
    return FleetSpec.model_validate(plain)


def reading(name: str = "s4", **changes: Any) -> dict[str, Any]:
    part = "sensors" if name in FLEET.sensors else "settings"
    return {part: {name: {**getattr(FLEET, part)[name].model_dump(mode="json", exclude_none=True), **changes}}}


RULES = [
    changed(**reading(range=[700, 1500])),
    changed(**reading(nullable=True, fill="previous")),
    changed(**reading(nullable=True, fill=900)),
    changed(order="ts", task={"unit": "hours"}),
    changed(derived={"ratio": "s4 / s2"}),
    changed(sensors={"new": {"name": "n", "unit": "1", "range": [0, 1], "nullable": True, "fill": 0}}),
    *(changed(limits={k: 1_234}) for k in ("record_bytes", "skew_s", "silence_s", "devices", "jump")),
    changed(topics={"partitions": 7}),
]
NO_RULES = [
    changed(description="another"),
    changed(version=99),
    changed(**reading(name="s4", unit="K?")),
    changed(features={"windows": [4, 9]}),
    changed(limits={"lateness_s": 5}),
    changed(topics={"retention_days": 1}),
    changed(quality={"null_share": 0.9}),
]


@pytest.mark.parametrize("fleet", RULES)
def test_a_part_that_changes_verdicts_or_state_changes_the_digest_and_comes_back(fleet: FleetSpec) -> None:
    rules, before = rules_of(fleet), rules_of(FLEET)
    assert digest_of(rules) != digest_of(before)
    stored = msgspec.json.decode(msgspec.json.encode(rules))
    assert digest_of(stored) == digest_of(rules)
    assert rules_of(fleet_under(stored, fleet)) == rules
    assert rules_of(fleet_under(before, fleet)) == before
    assert changes(before, rules)


@pytest.mark.parametrize("fleet", NO_RULES)
def test_a_part_that_changes_neither_leaves_the_digest(fleet: FleetSpec) -> None:
    assert digest_of(rules_of(fleet)) == digest_of(rules_of(FLEET))
    assert changes(rules_of(FLEET), rules_of(fleet)) == []


def test_the_order_of_readings_is_a_rule() -> None:
    plain = FLEET.model_dump(mode="json", exclude_none=True)
    plain["sensors"] = dict(reversed(plain["sensors"].items()))
    turned = FleetSpec.model_validate(plain)
    assert digest_of(rules_of(turned)) != digest_of(rules_of(FLEET))
    assert fleet_under(rules_of(FLEET), turned).readings == FLEET.readings
    assert changes(rules_of(FLEET), rules_of(turned)) == ["the order of readings"]


def test_changes_are_told_in_words() -> None:
    found = changes(rules_of(FLEET), rules_of(changed(**reading(range=[700, 1500]), limits={"devices": 5})))
    low, high = FLEET.sensors["s4"].range
    assert f"sensors.s4.range: [{low:g},{high:g}] -> [700,1500]" in found
    assert f"limits.devices: {FLEET.limits.devices} -> 5" in found


def test_rules_of_another_release_are_read_as_far_as_this_one_knows_them() -> None:
    rules = rules_of(FLEET)
    later = {**rules, "of_tomorrow": 1, "limits": {**rules["limits"], "moons": 3}}
    assert rules_of(fleet_under(later, FLEET)) == rules


def test_bounds_of_commands_are_no_rules_and_do_not_keep_old_ranges_from_being_read() -> None:
    name = next(iter(FLEET.settings))
    low, high = FLEET.settings[name].range
    wide = changed(**reading(name, range=[low, high + 50], command=[high, high + 50]))
    assert rules_of(fleet_under(rules_of(FLEET), wide)) == rules_of(FLEET)


def test_rules_with_a_reading_that_is_gone_cannot_be_followed_which_is_said_with_what_to_do() -> None:
    plain = FLEET.model_dump(mode="json", exclude_none=True)
    del plain["sensors"]["s4"]
    plain["derived"] = {}
    with pytest.raises(StateError, match="the reading s4, which the fleet file no longer has: add it again"):
        fleet_under(rules_of(FLEET), FleetSpec.model_validate(plain))


def test_rules_of_another_order_than_the_task_of_today_allows_can_be_followed() -> None:
    by_time = changed(order="ts", task={"unit": "hours"})
    then = fleet_under(rules_of(by_time), FLEET)
    assert (then.order, rules_of(then)) == ("ts", rules_of(by_time))


def test_rules_that_make_no_fleet_file_are_refused_with_the_place() -> None:
    rules = rules_of(FLEET)
    rules["sensors"]["s4"]["range"] = [5, 1]
    with pytest.raises(StateError, match=r"cannot be read \(.*must increase"):
        fleet_under(rules, FLEET)


def test_values_are_widened_to_the_readings_of_today() -> None:
    values = np.array([[1.0, 2.0]], np.float32)
    wide = widened(values, ("a", "b"), ("a", "x", "b"))
    assert wide.dtype == np.float32
    np.testing.assert_array_equal(wide, [[1.0, np.nan, 2.0]])
    assert widened(values, ("a", "b"), ("a", "b")) is values
