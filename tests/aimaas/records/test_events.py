from datetime import UTC, datetime

import msgspec
import pytest
from jsonschema import Draft202012Validator

from aimaas.fleet import FleetSpec, find_fleet
from aimaas.records.events import Outcome, encode_event, event_schema, event_type
from tests.conftest import FLEETS

TS = datetime(2026, 11, 23, 10, 0, 0, 123_000, tzinfo=UTC)


@pytest.fixture(scope="module")
def mill() -> FleetSpec:
    return find_fleet(FLEETS, "mill")


def test_an_encoded_event_reads_back_and_fits_the_published_schema(mill: FleetSpec) -> None:
    readings: dict[str, float | None] = {n: r.range[0] for n, r in zip(mill.readings, mill.reading_specs, strict=True)}
    text = encode_event("mill", "m-1", 2, 31, TS, readings)
    event = msgspec.json.decode(text, type=event_type(mill.readings, "seq"))
    assert msgspec.to_builtins(event)["readings"] == readings
    Draft202012Validator(event_schema(mill)).validate(msgspec.json.decode(text))


@pytest.mark.parametrize("change", [{"fleet": "x"}, {"seq": -1}, {"device_id": ""}, {"readings": {}}, {"run": 2**31}])
def test_the_schema_refuses_what_admission_refuses(mill: FleetSpec, change: dict[str, object]) -> None:
    readings: dict[str, float | None] = {n: r.range[0] for n, r in zip(mill.readings, mill.reading_specs, strict=True)}
    event = {**msgspec.json.decode(encode_event("mill", "m-1", 2, 31, TS, readings)), **change}
    assert not Draft202012Validator(event_schema(mill)).is_valid(event)


def test_only_nullable_readings_may_be_null_where_they_are_named() -> None:
    text = b'{"fleet":"f","device_id":"d","seq":1,"ts":"2026-11-23T10:00:00Z","readings":{"a":1,"b":null}}'
    for nullable in (None, frozenset("b")):
        event = msgspec.json.decode(text, type=event_type(("a", "b"), "seq", nullable))
        assert msgspec.to_builtins(event)["readings"]["b"] is None
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=event_type(("a", "b"), "seq", frozenset("a")))


@pytest.mark.parametrize("change", [(b"failed", b"broken"), (b"Z", b""), (b'"seq":1', b'"seq":1.5')])
def test_an_outcome_of_another_shape_is_refused(change: tuple[bytes, bytes]) -> None:
    text = b'{"fleet":"f","device_id":"d","seq":1,"ts":"2026-11-23T10:00:00Z","kind":"failed"}'
    assert msgspec.json.decode(text, type=Outcome).run == 0
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text.replace(*change), type=Outcome)
