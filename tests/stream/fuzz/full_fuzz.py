"""`make fuzz`: a hundred thousand fuzzed records through the real scorer; each ends in one prediction or one dead letter."""

from __future__ import annotations

from typing import Any

import pytest

from tests.stream.conftest import Line
from tests.stream.fuzz.mutated import mutated
from tests.stream.fuzz.test_fuzz import events_of, mixed
from tests.stream.fuzz.wild import wild

WILD, MUTATED = 70_000, 30_000


@pytest.mark.broker
def test_each_of_a_hundred_thousand_fuzzed_records_ends_in_one_answer_and_the_good_events_around_them_are_scored(
    tolerant_line: Line,
) -> None:
    line = tolerant_line
    champion = line.champion()
    groups: list[list[Any]] = [
        mutated(events_of(line.fleet, 40, 1_000), MUTATED, line.fleet.limits.record_bytes, seed=1),
        wild(events_of(line.fleet, 80, 2_000), WILD, seed=2),
        line.events(devices=5),
    ]
    records: list[Any] = mixed(groups, seed=3)
    places = [place for begin in range(0, len(records), 20_000) for place in line.send(records[begin : begin + 20_000])]
    scored, letters = line.undisturbed(champion)

    with line.scorer() as done:
        line.wait_for(len(scored), len(letters), limit_s=600)

    sent = [f"{line.names.events}/{p}/{offset}" for p, offset in places]
    good_devices = {key for key, _ in groups[-1]}
    assert len(records) >= WILD + MUTATED
    assert sorted([*scored, *letters]) == sorted(sent)
    assert {s for s, record in zip(sent, records, strict=True) if record[0] in good_devices} <= set(scored)
    assert line.scored() == scored
    assert line.letters() == letters
    assert done.aborts == 0
