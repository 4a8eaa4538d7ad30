"""What an instance's counters and times may be: as the printed schema of events has them."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest

from aimaas.fleet import FleetSpec
from stream.service.instances import Events, InstanceReader
from stream.service.problems import Problem
from tests.stream.service.conftest import pump

PUMP = pump()
BY_TIME = FleetSpec.model_validate(
    PUMP.model_dump(mode="json", exclude_none=True)
    | {"order": "ts", "task": {"kind": "remaining_useful_life", "unit": "hours", "cap": 125}}
)
READINGS = {"o": 1, "a": 2, "b": 3, "n": None}


def read(fleet: FleetSpec, events: str) -> Any:
    return InstanceReader(fleet, 8).instance(f'{{"events": {events}}}'.encode(), "#", 3)


def refused(fleet: FleetSpec, events: str) -> tuple[str, str]:
    with pytest.raises(Problem) as raised:
        read(fleet, events)
    return raised.value.errors[0].pointer, raised.value.errors[0].reason


def text(**changes: Any) -> str:
    return json.dumps([{"readings": READINGS} | changes])


def test_a_counter_may_be_written_as_a_whole_number_with_a_point() -> None:
    found = read(PUMP, text(seq=31.0, run=2.0))

    assert isinstance(found, Events)
    assert found.rows == 1
    assert refused(PUMP, text(seq=31.5)) == ("#/events/0/seq", "")
    assert refused(PUMP, text(seq=31.0).replace('"a": 2', '"a": NaN')) == ("#/events/0/readings/a", "not_finite")


def test_half_a_character_in_a_field_that_nobody_asked_for_harms_nothing() -> None:
    assert read(PUMP, text(seq=31, note="\ud83d")).rows == 1


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00Z", "1899-12-31T23:59:59Z", "2200-01-01T00:00:00Z"])
def test_a_time_that_admission_refuses_is_refused(time: str) -> None:
    assert read(BY_TIME, text(ts="1970-01-01T00:00:00Z")).rows == 1
    assert refused(BY_TIME, text(ts=time)) == ("#/events/0/ts", "schema")


def test_a_long_name_before_many_values_takes_no_more_than_a_few_times_the_body() -> None:
    body = json.dumps([{"k" * 300_000: [0] * 100_000 + [float("nan")]}])
    tracemalloc.start()

    pointer, reason = refused(PUMP, body)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (pointer[:14], pointer[-7:], reason) == ("#/events/0/kkk", "/100000", "not_finite")
    assert peak < 60_000_000
