"""`aimaas gate` as a person calls it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from typer.testing import CliRunner, Result

from aimaas.errors import AimaasError, GateFailedError, LakeError
from aimaas.lake.audits import audits_of, published_offsets
from aimaas.lake.quarantine import read_quarantine
from aimaas.lake.rebuilt_days import DayVerdict, held_days, note_rebuilt, settle_day
from aimaas.settings import Settings
from cli.app import app
from tests.expectations.test_severity import DAY, MILL, WARMER, silver, write

Gate = Callable[..., Result]


@pytest.fixture
def gate(strict: Settings, monkeypatch: pytest.MonkeyPatch) -> Gate:
    """Call with the arguments of `aimaas gate`."""
    monkeypatch.setattr("cli.options.read_settings", lambda: strict)
    return lambda *arguments: CliRunner().invoke(app, ["gate", *arguments, "--fleet", "mill"])


def test_a_failure_is_shown_with_what_was_observed_and_allowed_and_can_be_set_aside(
    gate: Gate, strict: Settings
) -> None:
    assert "no gate of fleet mill has run yet" in gate("show").output
    write(strict, silver(MILL, 11))
    failed = gate("check").exception
    assert isinstance(failed, GateFailedError)
    assert failed.exit_code == 3

    shown = gate("show").output
    audit = json.loads(gate("show", "--json").output)
    moved = gate("set-aside", "--why", "the heater was off", "--by", "ada").output

    for said in (
        "iot.mill.events/1/0 to 99",
        "11 of 100 rows fail",
        "mostly=0.9",
        "aimaas gate acknowledge --fleet mill",
    ):
        assert said in shown
    assert (audit["verdict"], audit["failures"][0]["expectation"]) == ("failed", WARMER)
    assert len(json.loads(audit["suite"])) > 10, "the record says what was expected"
    assert moved.startswith("11 rows set aside, the other rows of silver iot.mill.events/1/0 to 99 published")
    assert len(read_quarantine(strict, MILL)) == 11
    assert published_offsets(strict, MILL) == {("iot.mill.events", 1): 100}
    assert "the heater was off" in gate("show").output
    assert "silver: no new rows to judge" in gate("check").output


def test_a_rebuilt_day_is_shown_until_its_gate_passes_or_a_person_takes_it(gate: Gate, strict: Settings) -> None:
    write(strict, silver(MILL, 11))
    day = str(DAY.date())
    assert "rebuilt day" not in gate("show").output
    note_rebuilt(strict, MILL, DAY.date(), DAY)

    waits = gate("show").output
    failed = gate("check", "--day", day).exception
    shown, audit = gate("show").output, json.loads(gate("show", "--json").output.splitlines()[-1])
    told = gate("acknowledge", "--day", day, "--why", "the heater was off", "--by", "ada").output

    assert f"aimaas gate check --fleet mill --day {day}" in waits and "not judged yet" in waits
    assert isinstance(failed, GateFailedError) and "gold keeps the day as it was" in str(failed)
    assert f"aimaas gate acknowledge --why … --fleet mill --day {day}" in shown and "11 of 100 rows fail" in shown
    assert (audit["table"], audit["verdict"], audit["made_of"]) == ("day", "failed", day)
    assert told.startswith(f"published: the rebuilt day {day}")
    assert (held_days(strict, MILL), audits_of(strict, MILL, "day")[-1].why) == ([], "the heater was off")
    assert "rebuilt day" not in gate("show").output


def test_a_verdict_on_a_day_that_was_rebuilt_again_meanwhile_does_not_count(gate: Gate, strict: Settings) -> None:
    write(strict, silver(MILL, 0))
    note_rebuilt(strict, MILL, DAY.date(), DAY)
    (judged,) = held_days(strict, MILL)
    note_rebuilt(strict, MILL, DAY.date(), DAY)

    with pytest.raises(LakeError, match="was rebuilt, judged or resolved meanwhile"):
        settle_day(strict, MILL, judged, DayVerdict("passed", "the gate", DAY))

    assert json.loads(gate("check", "--day", str(DAY.date())).output) == {
        "table": "silver",
        "rows": 100,
        "refused": 0,
        "set_aside": 0,
    }
    assert held_days(strict, MILL) == []


@pytest.mark.parametrize(
    ("arguments", "mistake"),
    [
        (("acknowledge", "--why", "so"), "no gate failed, so there is nothing to resolve"),
        (("acknowledge", "--why", "so", "--day", "2026-11-23"), "2026-11-23 is not held back"),
        (("acknowledge", "--why", " "), "--why: is empty; give a reason"),
        (("check", "--table", "bronze"), "--table bronze: this table has no gate; use one of silver, gold"),
        (("check",), "no such table yet: run the step before this gate"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(gate: Gate, arguments: tuple[str, ...], mistake: str) -> None:
    error = gate(*arguments).exception

    assert isinstance(error, (AimaasError, LakeError))
    assert mistake in str(error)
    assert "\n" not in str(error)
