"""A model's answer that is no number is a dead letter with its own reason, and gets its one prediction once a model has one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stream.letters.decisions import Action
from stream.letters.letters import read_letters
from stream.letters.replay import replay_letters
from tests.stream.conftest import SILENT_ABOVE

pytestmark = pytest.mark.broker


def high(value: bytes) -> bytes:
    """The event, from an altitude at which a silent model says nothing."""
    event = json.loads(value)
    event["readings"]["o1"] = SILENT_ABOVE + 5
    return json.dumps(event).encode()


def sent_with_high_ones(line: Any, every: int = 7, devices: int = 3, most: int = 300) -> tuple[list[str], set[str]]:
    """Sources of all events that were sent, and those of the ones from too high."""
    events = line.events(devices=devices)[:most]
    records = [(k, high(v) if i % every == 0 else v) for i, (k, v) in enumerate(events)]
    sources = [f"{line.names.events}/{p}/{o}" for p, o in line.send(records)]
    return sources, set(sources[::every])


def replay_all(line: Any) -> list[Any]:
    letters = read_letters(line.settings, line.fleet)
    return replay_letters(line.settings, line.fleet, letters, letters)


def test_an_answer_that_is_no_number_is_a_dead_letter_and_a_better_model_gives_it_its_one_prediction(line: Any) -> None:
    line.champion(silent=True)
    sources, unanswered = sent_with_high_ones(line)

    tally = line.score_all(len(sources) - len(unanswered), len(unanswered))

    assert line.letters() == dict.fromkeys(unanswered, "no_prediction")
    assert line.scored().keys() == set(sources) - unanswered
    assert all(isinstance(said["prediction"], float) for said in line.scored().values())
    message = line.dead_letters()[0].headers["__connect.errors.exception.message"].decode()
    assert message.startswith("model version 1 answered nan, which is no prediction")
    assert (tally.predictions, tally.refused) == (
        len(sources) - len(unanswered),
        {"no_prediction": len(unanswered)},
    )

    still = replay_all(line)  # by the same model
    better = line.champion(version="2", sequence=2)
    given, again = replay_all(line), replay_all(line)

    assert {(d.action, d.why.split(",")[0]) for d in still} == {(Action.LEFT, "model version 1 answered nan")}
    assert {(d.action, d.why) for d in given} == {(Action.BACKFILL, "its device's state holds it")}
    assert {d.why for d in again} == {"replayed before: its event has a prediction"}
    expected = line.undisturbed(better)[0]
    assert {s: said for s, said in line.scored().items() if s in unanswered} == {s: expected[s] for s in unanswered}


def test_events_without_an_answer_stay_in_their_devices_state_over_a_restart(line: Any) -> None:
    line.champion(silent=True)
    sources, unanswered = sent_with_high_ones(line, devices=2)
    line.score_all(len(sources) - len(unanswered), len(unanswered))

    better = line.champion(version="2", sequence=2)
    more = line.events(devices=2)[300:400]
    after = [f"{line.names.events}/{p}/{o}" for p, o in line.send(more)]
    line.score_all(len(sources) - len(unanswered) + len(after), len(unanswered))

    expected, scored = line.undisturbed(better)[0], line.scored()
    assert {s: scored[s] for s in after} == {s: expected[s] for s in after}
