"""A model's answer that is no number is a dead letter with its own reason, and gets its one prediction once a model has one."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.stream.conftest import LIMIT_S, Line, silencing
from tests.stream.monitoring.test_seen_from_outside import Page
from upkeep.dead_letters.decisions import Action
from upkeep.dead_letters.letters import read_letters
from upkeep.dead_letters.replay import replay_letters

pytestmark = pytest.mark.broker


def sent_with_high_ones(
    line: Line, every: int = 7, devices: int = 3, most: int = 300, first_device: int = 0
) -> tuple[list[str], set[str]]:
    """Sources of all events that were sent, and those of the ones from too high."""
    events = line.events(devices=devices, first_device=first_device)[:most]
    records = [(k, silencing(v) if i % every == 0 else v) for i, (k, v) in enumerate(events)]
    sources = [f"{line.names.events}/{p}/{o}" for p, o in line.send(records)]
    return sources, set(sources[::every])


def replay_all(line: Line) -> list[Any]:
    letters = read_letters(line.settings, line.fleet)
    return replay_letters(line.settings, line.fleet, letters, letters)


def test_an_answer_that_is_no_number_is_a_dead_letter_and_a_better_model_gives_it_its_one_prediction(
    line: Line,
) -> None:
    silent = line.champion(silent=True)
    sources, unanswered = sent_with_high_ones(line)

    done = line.score_all(len(sources) - len(unanswered), len(unanswered))

    assert line.letters() == dict.fromkeys(unanswered, "no_prediction")
    assert line.scored().keys() == set(sources) - unanswered
    assert (line.scored(), line.letters()) == line.undisturbed(silent)
    assert all(isinstance(said["prediction"], float) for said in line.scored().values())
    message = line.dead_letters()[0].headers["__connect.errors.exception.message"].decode()
    assert message.startswith("model version 1 returned nan, which is not a prediction")
    assert (done.predictions, done.refused) == (
        len(sources) - len(unanswered),
        {"no_prediction": len(unanswered)},
    )

    still = replay_all(line)  # by the same model
    better = line.champion(version="2", sequence=2)
    given, again = replay_all(line), replay_all(line)

    assert {(d.action, d.why.split(",")[0]) for d in still} == {(Action.LEFT, "model version 1 returned nan")}
    assert {(d.action, d.why) for d in given} == {(Action.BACKFILL, "its device's state holds it")}
    assert {d.why for d in again} == {"replayed before: its event has a prediction"}
    expected = line.undisturbed(better)[0]
    assert {s: said for s, said in line.scored().items() if s in unanswered} == {s: expected[s] for s in unanswered}


def test_events_without_an_answer_stay_in_their_devices_state_over_a_restart(line: Line) -> None:
    line.champion(silent=True)
    sources, unanswered = sent_with_high_ones(line, devices=2)
    line.score_all(len(sources) - len(unanswered), len(unanswered))

    better = line.champion(version="2", sequence=2)
    more = line.events(devices=2)[300:400]
    after = [f"{line.names.events}/{p}/{o}" for p, o in line.send(more)]
    line.score_all(len(sources) - len(unanswered) + len(after), len(unanswered))

    expected, scored = line.undisturbed(better)[0], line.scored()
    assert {s: scored[s] for s in after} == {s: expected[s] for s in after}


def test_a_model_that_gives_too_few_answers_is_withdrawn_and_the_one_before_serves(line: Line) -> None:
    line.champion()
    with line.scorer():
        warm = line.events(devices=2)[:50]
        line.send(warm)
        line.wait_for(len(warm))
        line.champion(version="2", sequence=2, silent=True)
        wait_until_it_serves(line, "2", first_device=50)

        sources, unanswered = sent_with_high_ones(line, every=2, devices=4, most=1_000, first_device=10)
        wait_until(lambda: len(line.predictions()) + len(line.dead_letters()) >= len(sources) + len(warm))
        wait_until_it_serves(line, "1", first_device=60)

    letters = line.letters()
    assert 20 <= len(letters) <= len(unanswered)
    assert set(letters.values()) == {"no_prediction"}
    assert letters.keys() <= unanswered
    assert letters.keys().isdisjoint(line.scored())
    assert set(sources) <= line.scored().keys() | letters.keys()


def test_where_no_other_model_is_left_events_wait_in_the_topic_for_the_next_champion(
    line: Line, free_port: int
) -> None:
    page = Page(free_port)
    line.champion(silent=True)
    with line.scorer(metrics_port=free_port):
        first, _ = sent_with_high_ones(line, every=1, devices=3, most=100)
        line.wait_for(0, len(first))
        reasons = page.wait_for("/readyz", 503)["reasons"]
        waiting = [f"{line.names.events}/{p}/{o}" for p, o in line.send(line.events(devices=2, first_device=70)[:200])]
        for _ in range(20):
            assert page.get("/healthz")[0] == 200
            time.sleep(0.1)
        assert line.predictions() == []

        line.champion(version="2", sequence=2)
        line.wait_for(len(waiting), len(first))
        found = page.wait_until({"aimaas_model_info 2": 1})

    assert reasons == ["no model serves yet"]
    assert found["aimaas_models_withdrawn_total"] == 1
    assert line.letters() == dict.fromkeys(first, "no_prediction")
    assert line.scored().keys() == set(waiting)
    assert {said["model_version"] for said in line.scored().values()} == {"2"}


def wait_until_it_serves(line: Line, version: str, first_device: int) -> None:
    """Send events of new devices until one is answered by this version."""
    for i in range(100):
        ((p, o),) = line.send(line.events(devices=1, first_device=first_device + i)[:1])
        source = f"{line.names.events}/{p}/{o}"
        wait_until(lambda source=source: source in line.scored())
        if line.scored()[source]["model_version"] == version:
            return
    raise AssertionError(f"version {version} does not serve")


def wait_until(condition: Any) -> None:
    limit = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.05)
