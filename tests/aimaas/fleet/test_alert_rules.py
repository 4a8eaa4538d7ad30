"""Alert rules in a fleet file: each mistake is one line, and no text makes the reader crash."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from aimaas.errors import FleetFileError
from aimaas.fleet import FleetSpec, load_fleet
from aimaas.fleet.consistency import inconsistencies
from aimaas.fleet.expression import ExpressionError
from tests.conftest import FLEETS


def with_rule(folder: Path, rule: Any) -> Path:
    found = yaml.safe_load((FLEETS / "turbofan.yaml").read_text())
    path = folder / "turbofan.yaml"
    path.write_text(yaml.safe_dump(found | {"rules": {"worn": rule}}))
    return path


@pytest.mark.parametrize(
    ("rule", "line"),
    [
        ({"when": "tork < 3"}, "rules.worn.when: 'tork' is not known here; known are prediction, lower, upper, o1"),
        ({"when": "prediction"}, "rules.worn.when: 'prediction' is no condition"),
        ({"when": "prediction <"}, "rules.worn.when: 'prediction <' cannot be parsed"),
        ({"when": "prediction in s1"}, "rules.worn.when: 'prediction in s1' is no condition"),
        ({"when": "1 < 2"}, "rules.worn.when: '1 < 2' uses no value"),
        ({"when": "s1.real < 2"}, "rules.worn.when: 's1.real' is not allowed"),
        ({"when": "s1 < 2", "clear": "s1 and s2"}, "rules.worn.clear: 's1' is no condition"),
        ({"when": "s1 < 2", "for": "0 events"}, "rules.worn.for: found '0 events', allowed: a number of events"),
        ({"when": "s1 < 2", "for": 3}, "rules.worn.for: found 3, allowed: text"),
        ({"when": "s1 < 2", "for": "3 weeks"}, "rules.worn.for: found '3 weeks'"),
        ({"absent_for": "1 hour"}, "rules.worn.absent_for: found '1 hour', allowed: a duration such as 90s"),
        ({"absent_for": "1h", "for": "3 events"}, "rules.worn: for belongs to when, not to absent_for"),
        ({"absent_for": "1h", "when": "s1 < 2"}, "rules.worn: give either when or absent_for"),
        ({}, "rules.worn: give either when or absent_for"),
        ({"when": "s1 < 2", "severity": "bad"}, "rules.worn.severity: found 'bad', allowed: 'info', 'warning' or"),
        ({"when": "s1 < 2", "summary": "{x}"}, "rules.worn.summary: {x} is not known; known are fleet, device_id"),
        ({"when": "s1 < 2", "summary": "{s1"}, "rules.worn.summary: '{s1': expected '}'"),
        ({"when": "s1 < 2", "summary": "{s1.real}"}, "rules.worn.summary: {s1.real} is not known"),
        ({"when": "s1 < 2", "summary": "{s1:d}"}, "rules.worn.summary: {s1:d} cannot be formatted"),
        ({"when": "s1 < 2", "summary": "{s1:>9999999}"}, "rules.worn.summary: {s1:>9999999} cannot be formatted"),
        ({"absent_for": "1h", "summary": "{s1}"}, "rules.worn.summary: {s1} is not known"),
        ({"when": "s1 < 2", "wen": 1}, "rules.worn.wen: unknown key"),
        ("s1 < 2", "rules.worn: found 's1 < 2', allowed: a mapping of keys to values"),
    ],
)
def test_a_mistake_in_a_rule_is_one_line(tmp_path: Path, rule: Any, line: str) -> None:
    with pytest.raises(FleetFileError) as caught:
        load_fleet(with_rule(tmp_path, rule))
    assert len(caught.value.mistakes) == 1
    assert caught.value.mistakes[0].startswith(f"{tmp_path / 'turbofan.yaml'}: {line}")


def test_a_reading_cannot_have_a_name_that_rules_use(tmp_path: Path) -> None:
    found = yaml.safe_load((FLEETS / "turbofan.yaml").read_text())
    found["sensors"]["prediction"] = found["sensors"].pop("s1")
    plain = dict(found)
    assert not [line for line in inconsistencies(plain) if "alert rule" in line]
    found["rules"] = {"worn": {"when": "s2 < 3"}}
    assert "sensors.prediction: an alert rule already uses this name; choose another, such as prediction_0" in (
        inconsistencies(found)
    )


WORDS = (
    "prediction upper s1 s2 foo 30 1e400 -1 < <= > == != and or not ( ) + - * / if else lambda : [ ] . , = ** // in is "
    "True None 'x' \"\" {} @ ~ := await"
)
PIECES = st.lists(st.sampled_from(WORDS.split()), max_size=12).map(" ".join)
TURBOFAN = yaml.safe_load((FLEETS / "turbofan.yaml").read_text())


@given(PIECES | st.text(max_size=30), PIECES, st.text(max_size=20))
def test_any_text_is_a_condition_or_a_mistake_of_one_line(when: str, clear: str, summary: str) -> None:
    found = TURBOFAN | {"rules": {"worn": {"when": when, "clear": clear, "summary": summary}}}
    wrong = inconsistencies(found)
    assert all("\n" not in line.replace(repr(summary), "") for line in wrong)
    if not wrong:
        spec = FleetSpec.model_validate(found)
        assert spec.rules["worn"].when == when


@given(PIECES)
def test_only_expression_errors_leave_the_compiler(text: str) -> None:
    from aimaas.fleet.condition import compile_condition

    try:
        condition = compile_condition(text, ("prediction", "upper", "s1", "s2"))
    except ExpressionError as e:
        assert str(e)
    else:
        assert condition.names
