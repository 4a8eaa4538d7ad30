"""Outcomes are judged as events are: the same times, the same whole numbers, and no bytes that stop the job."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimaas.records.events import Outcome
from spark_jobs.admission.outcomes import Refused, judge_outcomes
from tests.spark_jobs.conftest import small_fleet

FLEET = small_fleet()
GOOD: dict[str, Any] = {
    "fleet": FLEET.fleet, "device_id": "d", "seq": 192, "ts": "2026-11-29T10:00:00Z", "kind": "failed", "mode": "hpc",
}  # fmt: skip


def judged(value: bytes | str, key: bytes = b"d") -> Outcome | Refused:
    (found,) = judge_outcomes(FLEET, [key], [value.encode() if isinstance(value, str) else value])
    return found


@pytest.mark.parametrize("change", [{}, {"seq": 192.0, "run": 0.0}, {"note": "\ud83d"}, {"ts": "1900-01-01T00:00:00Z"}])
def test_an_outcome_may_be_written_as_an_event_may(change: dict[str, Any]) -> None:
    found = judged(json.dumps(GOOD | change))

    assert isinstance(found, Outcome)
    assert (found.seq, type(found.seq), found.run) == (192, int, 0)


@pytest.mark.parametrize(
    ("change", "reason", "detail"),
    [
        ({"ts": "0001-01-01T00:00:00Z"}, "schema", "not within the years 1900 to 2199"),
        ({"ts": "2200-01-01T00:00:00Z"}, "schema", "not within the years 1900 to 2199"),
        ({"ts": "2016-12-31T23:59:60Z"}, "schema", "$.ts"),
        ({"seq": 1.5}, "schema", "Expected `int`, got `float` - at `$.seq`"),
        ({"mode": "\ud83d"}, "schema", "surrogates not allowed"),
        ({"device_id": "\ud83d"}, "schema", "surrogates not allowed"),
        ({"fleet": "other", "seq": 1.5}, "wrong_fleet", "fleet 'other'"),
        ({"device_id": "e"}, "key_mismatch", "expected device_id 'e'"),
    ],
)
def test_each_fault_has_its_reason(change: dict[str, Any], reason: str, detail: str) -> None:
    found = judged(json.dumps(GOOD | change))

    assert isinstance(found, Refused)
    assert found.reason.label == reason
    assert detail in found.detail


@pytest.mark.parametrize("value", ["[" * 390, '{"a":' * 60, "9" * 390, "", "\x00"])
def test_what_is_no_object_is_refused(value: str) -> None:
    assert isinstance(judged(value), Refused)


@given(st.binary(max_size=60) | st.text().map(lambda text: json.dumps(GOOD | {"mode": text, "note": text}).encode()))
def test_no_bytes_raise(value: bytes) -> None:
    judged(value)
