"""What the printed JSON Schema says of a value, the judge says too: near every border, both ways."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

from aimaas.admission.judge import Judge
from aimaas.fleet import FleetSpec
from aimaas.records.events import event_schema
from aimaas.records.refusal_reasons import Reason

READING = {"name": "x", "unit": "1", "range": [-10, 10.5]}
PUMP: dict[str, Any] = {
    "fleet": "pump", "version": 1, "settings": {"o": READING},
    "sensors": {"a": READING, "n": {**READING, "range": [0, 1e30], "nullable": True, "fill": 0}},
    "features": {"windows": [2], "first": 2}, "training": {"candidates": {"ridge": {}}},
}  # fmt: skip
FLEETS = {
    order: FleetSpec.model_validate(
        PUMP | {"order": order, "task": {"kind": "remaining_useful_life", "unit": unit, "cap": 125}}
    )
    for order, unit in (("seq", "cycles"), ("ts", "hours"))
}
NOT_OF_A_VALUE = {Reason.KEY_MISMATCH}
EVENT: dict[str, Any] = {
    "fleet": "pump", "device_id": "d", "run": 0, "seq": 1, "ts": "2026-11-29T10:00:00Z", "readings": {"o": 1, "a": 2.5, "n": None},
}  # fmt: skip

numbers = (
    st.sampled_from([0, 1, -1, 10, 11, 10.5, 10.500000000000002, -10, -10.000000000000002, -0.0, 0.0, 1.0, 31.0, 1.5, 1e3, 5e-324])
    | st.sampled_from([2**31 - 1, 2**31, 2**53 - 1, 2**53, 2**53 + 1, 2.0**53, 2.0**53 - 1, 2.0**31 - 1, 2.0**31, 2**63, 2**64])
    | st.sampled_from([1e30, 1.0000000000000002e30, 10**30, 1e308, -1e308, float("inf"), float("-inf"), 10**40, 10**45])
    | st.integers() | st.floats(allow_nan=False)
)  # fmt: skip
text = st.text(st.characters(), max_size=3)
scalars = st.none() | st.booleans() | numbers | text
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(text, inner, max_size=2), max_leaves=4
)
device_ids = st.sampled_from(["", "d", "x" * 128, "x" * 129, "👾" * 128, "👾" * 129, "\ud800", "é", "\x00"])
years = (
    st.integers(1898, 1901)
    | st.integers(2198, 2201)
    | st.sampled_from([0, 1, 1677, 1969, 1970, 2000, 2024, 2026, 2262, 9999])
)
times = st.builds(
    "{:04d}-{:02d}-{:02d}{}{:02d}:{:02d}:{:02d}{}{}".format,
    years, st.sampled_from([0, 1, 2, 6, 12, 12, 13]), st.sampled_from([0, 1, 28, 29, 30, 31, 31, 32]), st.sampled_from("TTTt _"),
    st.sampled_from([0, 23, 23, 24]), st.sampled_from([0, 59, 59, 60]), st.sampled_from([0, 59, 59, 60]),
    st.sampled_from(["", "", ".", ".5", ".999999", ".9999995", ".99999949", ".123456789012", ",5", ".٣"]),
    st.sampled_from(["Z", "Z", "z", "+00:00", "-00:00", "+23:59", "-23:59", "+24:00", "+05:30", "+0530", "+05", "",
                     "Z\n", " Z", "Z "]),
)  # fmt: skip
readings = st.fixed_dictionaries(
    {}, optional={"o": numbers, "a": numbers | scalars, "n": numbers | scalars, "other": anything, "\ud800": anything}
)
changes = st.fixed_dictionaries(
    {},
    optional={
        "fleet": st.sampled_from(["pump", "mill", "\ud800"]) | scalars, "device_id": device_ids | scalars, "run": numbers | scalars,
        "seq": numbers | scalars, "ts": times | times | scalars, "other": anything, "\udfff": anything,
        "readings": readings.map(lambda some: EVENT["readings"] | some) | readings | scalars,
    },
)  # fmt: skip
without = st.sampled_from([(), (), (), ("seq",), ("run",), ("ts",), ("readings",), ("fleet", "device_id")])


def allowed(fleet: FleetSpec, text: str) -> bool:
    return Draft202012Validator(event_schema(fleet), format_checker=FormatChecker()).is_valid(json.loads(text))


def judged(fleet: FleetSpec, value: bytes) -> tuple[Reason, str]:
    device_id = json.loads(value, parse_int=float).get("device_id")
    key = device_id.encode("utf-8", "replace") if isinstance(device_id, str) else None
    batch = Judge(fleet).decode([key], [value])
    return Reason(batch.reason[0]), batch.detail.get(0, "")


def agree(fleet: FleetSpec, text: str) -> None:
    reason, detail = judged(fleet, text.encode("utf-8"))
    assert allowed(fleet, text) == (reason in {Reason.ADMITTED, *NOT_OF_A_VALUE}), (text, reason, detail)


@settings(max_examples=300)
@given(st.sampled_from(["seq", "ts"]), changes, without, st.booleans())
@example("seq", {"seq": 1.0}, (), False)
@example("seq", {"run": 0.0}, (), False)
@example("seq", {"ts": "2016-12-31T23:59:60Z"}, (), False)
@example("seq", {"ts": "2199-12-31T23:59:59.9999996Z"}, (), False)
@example("seq", {"ts": "1899-12-31t23:59:59.9999996z"}, (), False)
@example("seq", {"ts": "2026-11-29T10:00:00Z\n"}, (), False)
def test_schema_and_judge_agree_on_every_value(
    order: str, change: dict[str, Any], gone: tuple[str, ...], reverse: bool
) -> None:
    event = {name: value for name, value in (EVENT | change).items() if name not in gone}
    found = json.dumps(dict(reversed(event.items())) if reverse else event)
    agree(FLEETS[order], found.replace("Infinity", "1E400"))


@pytest.mark.parametrize(
    ("old", "new", "is_event"),
    [
        ('"seq": 1', '"seq": 1e3', True),
        ('"seq": 1', '"seq": 9007199254740991.0', True),
        ('"seq": 1', '"seq": 9007199254740992.0', False),
        ('"seq": 1', '"seq": -0.0', True),
        ('"seq": 1', '"seq": 1e-400', True),
        ('"seq": 1', '"seq": 1.0, "seq": 2', True),
        ('"seq": 1', '"seq": "1", "seq": 2', True),
        ('"seq": 1', '"seq": 2, "seq": "1"', False),
        ('"seq": 1', '"seq": 1.0, "other": "\\ud83d"', True),
        ('"o": 1', '"o": 1E400', False),
        ('"o": 1', '"o": -1E-400', True),
        ('"o": 1', '"o": 1E400, "o": 1', True),
        ('"o": 1', '"o": 1, "other": 1E400', True),
        ('"o": 1', '"o": ' + "0." + "1" * 5_000, True),
        ('"run": 0', '"run": 0, "other": "\\ud800"', True),
    ],
)
def test_they_agree_on_other_spellings_of_a_value(old: str, new: str, is_event: bool) -> None:
    text = json.dumps(EVENT).replace(old, new, 1)

    agree(FLEETS["seq"], text)
    assert allowed(FLEETS["seq"], text) == is_event


@pytest.mark.parametrize("digits", [41, 4_301, 60_000])
def test_a_number_of_more_digits_than_python_reads_is_refused_for_its_size_and_passed_over_where_nobody_asked(
    digits: int,
) -> None:
    many, text = "9" * digits, json.dumps(EVENT)

    assert judged(FLEETS["seq"], text.replace('"o": 1', f'"o": {many}').encode())[0] in {
        Reason.OUT_OF_RANGE,
        Reason.NOT_FINITE,
    }
    assert judged(FLEETS["seq"], text.replace('"seq": 1', f'"seq": {many}').encode())[0] == Reason.SCHEMA
    assert judged(FLEETS["seq"], text.replace('"run"', f'"other": {many}, "run"').encode())[0] == Reason.ADMITTED


def test_a_whole_number_with_a_point_is_decoded_as_the_whole_number() -> None:
    text = json.dumps(EVENT | {"seq": 31.0, "run": 2.0})
    batch = Judge(FLEETS["seq"]).decode([b"d"], [text.encode()])

    assert (batch.events[0].seq, batch.events[0].run) == (31, 2)
    assert [type(n) for n in (batch.events[0].seq, batch.events[0].run)] == [int, int]
