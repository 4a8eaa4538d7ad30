"""One case per reason, then: whatever the bytes and however the batch is cut, the judge does not raise and says the same."""

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aimaas.admission.judge import Batch, Judge, Reason
from aimaas.fleet import FleetSpec
from aimaas.kernel.state import DeviceState
from aimaas.records.events import encode_event
from aimaas.records.refusal_reasons import REFUSALS

TS = datetime(2026, 11, 23, 10, 0, 0, 123_000, tzinfo=UTC)
NOW_MS = 1_795_428_000_123  # TS as broker time
Record = tuple[bytes | None, bytes | None]


def fleet(**changes: Any) -> FleetSpec:
    reading = {"name": "x", "unit": "1", "range": [-10, 10]}
    given: dict[str, Any] = {
        "fleet": "pump", "version": 1, "settings": {"o": reading},
        "sensors": {"a": reading, "b": reading, "n": {**reading, "nullable": True, "fill": 0}},
        "derived": {"ratio": "a / b"}, "features": {"windows": [2, 3], "first": 2},
        "task": {"kind": "remaining_useful_life", "unit": "cycles", "cap": 125}, "training": {"candidates": {"ridge": {}}},
        "limits": {"record_bytes": 1000, "skew_s": 60, "silence_s": 3600},
    }  # fmt: skip
    return FleetSpec.model_validate({**given, **changes})


def record(
    seq: int = 0, device: str = "e-7", run: int = 0, ts: datetime = TS, name: str = "pump", **readings: Any
) -> Record:
    values = {"o": 0.5, "a": 1.0, "b": 2.0, "n": 3.0, **readings}
    return device.encode(), encode_event(name, device, run, seq, ts, values)


def with_bytes(old: bytes, new: bytes, times: int = -1) -> Record:
    key, value = record()
    assert value is not None and old in value
    return key, value.replace(old, new, times)


def judged(
    records: list[Record], spec: FleetSpec | None = None, broker_ms: int | list[int] = NOW_MS
) -> tuple[list[str], Batch]:
    spec = spec or fleet()
    judge = Judge(spec)
    batch = judge.decode([k for k, _ in records], [v for _, v in records])
    judge.order(batch, np.broadcast_to(np.array(broker_ms, np.int64), len(records)), DeviceState.of(spec))
    return [Reason(r).label for r in batch.reason], batch


@pytest.mark.parametrize(
    ("bad", "reason", "detail"),
    [
        ((b"e-7", None), "unparsable", "the record has no value"),
        ((b"e-7", b""), "unparsable", "no JSON"),
        ((b"e-7", record()[1][:-9]), "unparsable", "no JSON"),  # type: ignore[index]
        ((b"e-7", b"\xff\xfe{}"), "unparsable", "no JSON"),
        ((b"e-7", b"[" * 900), "unparsable", "nested deeper than 256"),
        ((b"e-7", b"[]"), "schema", "a JSON list, expected an object"),
        ((b"e-7", b"{}"), "schema", "missing required field"),
        (with_bytes(b'"seq":0', b'"seq":"0"'), "schema", "Expected `int`, got `str`"),
        (with_bytes(b'"seq":0', b'"seq":-1'), "schema", ">= 0"),
        (with_bytes(b'"seq":0', b'"seq":9007199254740992'), "schema", "$.seq"),
        (with_bytes(b'"run":0', b'"run":2147483648'), "schema", "$.run"),
        (with_bytes(b'123000Z"', b'123000"'), "schema", "timezone"),
        (with_bytes(b'"e-7"', b'""'), "schema", "length >= 1"),
        (with_bytes(b'"a":1.0', b'"a":"1"'), "schema", "Expected `float"),
        (with_bytes(b'"a":1.0', b'"a":true'), "schema", "Expected `float"),
        (with_bytes(b'"a":1.0,', b""), "missing_reading", "without a"),
        (record(a=None), "missing_reading", "a is null"),
        (with_bytes(b'"a":1.0', b'"a":NaN'), "not_finite", "a is nan"),
        (with_bytes(b'"a":1.0', b'"a":-Infinity'), "not_finite", "a is -inf"),
        (with_bytes(b'"a":1.0', b'"a":1e999'), "not_finite", "a is inf"),
        (record(b=0.0), "not_finite", "derived channel ratio is inf"),
        (record(b=-0.0), "not_finite", "derived channel ratio is inf"),
        (record(b=1e-44), "not_finite", "derived channel ratio is inf"),
        (record(a=10.1), "out_of_range", "a is 10.1; allowed are -10 to 10"),
        (record(n=-11), "out_of_range", "n is -11"),
        (record(name="mill", a=99.0), "wrong_fleet", "fleet 'mill', expected 'pump'"),
        ((b"e-8", record()[1]), "key_mismatch", "key b'e-8', expected device_id 'e-7'"),
        ((None, record()[1]), "key_mismatch", "key none"),
        ((b"e-7", record()[1] + b" " * 1000), "oversized", "allowed are 1000"),  # type: ignore[operator]
        (record(ts=datetime(2026, 11, 23, 10, 1, 1, tzinfo=UTC)), "skew", "more than 60 s ahead"),
        (record(ts=datetime(2199, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)), "skew", "more than 60 s ahead"),
        (record(ts=datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)), "schema", "not within the years 1900 to 2199"),
        (record(ts=datetime(1, 1, 1, tzinfo=UTC)), "schema", "its time 0001-01-01T00:00:00+00:00 is not within"),
        (with_bytes(b'"2026-', b'"1899-'), "schema", "not within the years 1900 to 2199"),
    ],
)  # fmt: skip
def test_each_fault_has_its_reason_and_the_events_around_it_are_admitted(bad: Record, reason: str, detail: str) -> None:
    reasons, batch = judged([record(1), bad, record(2)])
    assert reasons == ["admitted", reason, "admitted"]
    assert list(batch.detail) == [1]
    assert detail in batch.detail[1]


@pytest.mark.parametrize(
    ("records", "reasons"),
    [
        ([record(1), record(1)], ["admitted", "duplicate"]),
        ([record(1, a=0.0), record(1, a=-0.0)], ["admitted", "duplicate"]),
        ([record(1, n=None), record(1, n=None)], ["admitted", "duplicate"]),
        ([record(1), record(1, a=1.5)], ["admitted", "conflict"]),
        ([record(1), record(1, n=None)], ["admitted", "conflict"]),
        ([record(2), record(1)], ["admitted", "late"]),
        ([record(9, run=1), record(10)], ["admitted", "late"]),
        ([record(9), record(0, run=1), record(9)], ["admitted", "admitted", "duplicate"]),
        ([record(i) for i in range(20)] + [record(3)], ["admitted"] * 20 + ["late"]),
        ([record(1), record(1, device="e-8")], ["admitted", "admitted"]),
        ([record(1), record(9_000_000), record(2)], ["admitted", "jump", "admitted"]),
    ],
)  # fmt: skip
def test_order_tells_duplicates_conflicts_and_late_events(records: list[Record], reasons: list[str]) -> None:
    assert judged(records)[0] == reasons


def test_every_reason_has_a_case_here() -> None:
    tests: tuple[Any, ...] = (
        test_each_fault_has_its_reason_and_the_events_around_it_are_admitted,
        test_order_tells_duplicates_conflicts_and_late_events,
    )
    said = str([mark.args[1] for test in tests for mark in test.pytestmark])
    assert [r.label for r in REFUSALS if r.label not in said and r != Reason.WRONG_PARTITION] == []


def test_a_rising_run_begins_anew() -> None:
    assert judged([record(1), record(2), record(0, run=1)])[1].reset.tolist() == [True, False, True]


def test_a_device_silent_for_too_long_by_broker_time_begins_anew() -> None:
    later = [NOW_MS, NOW_MS + 3_600_000, NOW_MS + 7_200_001, NOW_MS + 7_200_001]
    reasons, batch = judged([record(5), record(6), record(1), record(1)], broker_ms=later)
    assert reasons == ["admitted", "admitted", "admitted", "duplicate"]
    assert batch.reset.tolist() == [True, False, True, False]


def test_a_backlog_from_long_ago_is_admitted() -> None:
    old = [datetime(1969, 7, 20, 20, 17, 40, 1, tzinfo=UTC), datetime(1900, 1, 1, tzinfo=UTC)]
    reasons, batch = judged([record(i, ts=ts) for i, ts in enumerate(old)])
    assert reasons == ["admitted", "admitted"]
    assert batch.ts_us.tolist() == [-14_182_939_999_999, -2_208_988_800_000_000]


@given(st.datetimes(timezones=st.just(UTC)))
def test_microseconds_are_exact_in_any_year(ts: datetime) -> None:
    key, value = record(ts=ts)
    batch = Judge(fleet()).decode([key], [value])
    past = ts - datetime(1970, 1, 1, tzinfo=UTC)
    assert batch.ts_us.tolist() == [(past.days * 86_400 + past.seconds) * 1_000_000 + past.microseconds]


@pytest.mark.parametrize("broker_ms", [-1, -(2**63), 2**63 - 1])
def test_no_broker_time_makes_arithmetic_overflow(broker_ms: int) -> None:
    assert judged([record()], broker_ms=broker_ms)[0] == ["skew" if broker_ms < 0 else "admitted"]


def test_a_refused_event_makes_no_state() -> None:
    spec = fleet()
    state, judge = DeviceState.of(spec), Judge(spec)
    k, v = zip(record(device="x", a=99), record(device="y", ts=datetime(2030, 1, 1, tzinfo=UTC)), strict=True)
    judge.order(judge.decode(k, v), np.full(2, NOW_MS), state)
    assert len(state) == 0


def test_a_fleet_ordered_by_time_needs_no_counter() -> None:
    spec = fleet(order="ts", task={"kind": "failure_within", "unit": "hours", "horizon": 5})
    key, value = with_bytes(b'"seq":0,', b"")
    later = record(ts=TS.replace(microsecond=124_000))
    assert judged([(key, value), later, (key, value)], spec)[0] == ["admitted", "admitted", "duplicate"]


@pytest.mark.parametrize(("levels", "reason"), [(254, "admitted"), (256, "unparsable"), (900, "unparsable")])
@pytest.mark.parametrize("frames", [0, 100, 400])
def test_how_deep_a_record_may_nest_does_not_depend_on_who_calls(levels: int, reason: str, frames: int) -> None:
    deep = b'{"extra":' + b'{"\\"]":[' * (levels // 2) + b"1" + b"]}" * (levels // 2) + b","
    assert called_from(frames, with_bytes(b"{", deep, 1), fleet(limits={"record_bytes": 10_000}))[0] == [reason]


def called_from(frames: int, case: Record, spec: FleetSpec) -> tuple[list[str], Batch]:
    return called_from(frames - 1, case, spec) if frames else judged([case], spec)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-8-sig"])
def test_json_in_another_encoding_is_unparsable(encoding: str) -> None:
    key, value = record()
    assert judged([(key, (value or b"").decode().encode(encoding))])[0] == ["unparsable"]


def mutated(draw: Any) -> bytes:
    value = bytearray(record()[1] or b"")
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(value)))
        what = draw(st.sampled_from(PIECES) | st.binary(max_size=4))
        value[at : at + draw(st.integers(0, 12))] = what
    return bytes(value)


PIECES = (
    b"1e999", b"-0.0", b"1" * 400, b"null", b'"\\ud800"', b'"\\u0000"', b'"a":1,', b'"a":null,', b"NaN", b"[" * 200, b'{"a":' * 100,
    b"\xed\xa0\x80", b"\xef\xbb\xbf", b'"readings":5,', b'"ts":"0001-01-01T00:00:00+23:59",', b'"ts":"9999-12-31T23:59:59-23:59",',
    b'"fleet":null,', b'"device_id":"\\ud83d",', b"5e-324", b"1e308",
)  # fmt: skip


@settings(max_examples=400)
@given(st.composite(mutated)() | st.binary(max_size=60))
@example(
    b'{"fleet":"pump","device_id":"\\ud83d","seq":1,"ts":"2026-11-23T10:00:00Z","readings":{"o":1,"a":1,"b":1,"n":1}}'
)
@example((record()[1] or b"").replace(b'"2026-11-23T10:00:00.123000Z"', b'"0001-01-01T00:00:00+23:59"'))
@example((record()[1] or b"").replace(b'"2026-11-23T10:00:00.123000Z"', b'"9999-12-31T23:59:59-23:59"'))
def test_whatever_the_bytes_one_verdict_comes_back_and_neighbours_are_unharmed(value: bytes) -> None:
    reasons, batch = judged([record(1), (b"e-9", value), record(2)])
    assert reasons[0] == reasons[2] == "admitted"
    assert (1 in batch.detail) == (reasons[1] != "admitted")
    batch.detail.get(1, "").encode()  # becomes a header
    admitted = batch.values[batch.admitted]
    assert np.isfinite(admitted[:, :3]).all()


@settings(max_examples=25)
@given(st.lists(st.integers(0, 60), max_size=6), st.integers(0, 1000))
def test_a_batch_cut_anywhere_gives_the_same_verdicts_and_state(cuts: list[int], seed: int) -> None:
    r = np.random.default_rng(seed)
    records = [_random_record(r) for _ in range(60)]
    broker_ms = NOW_MS + np.cumsum(r.integers(0, 1_500_000, 60) * (r.random(60) < 0.1))
    whole, parts = ([*_verdicts(records, broker_ms, places)] for places in ([0, 60], [0, *sorted(cuts), 60]))
    assert whole == parts


def _random_record(r: np.random.Generator) -> Record:
    kind = r.integers(0, 12)
    device = f"d{r.integers(0, 3)}"
    if kind == 0:
        return device.encode(), b"{"
    if kind == 1:
        return b"other", record(device=device)[1]
    return record(
        int(r.integers(0, 15)), device, int(r.integers(0, 2)), a=None if kind == 2 else float(r.integers(1, 3))
    )


def _verdicts(records: list[Record], broker_ms: npt.NDArray[np.int64], places: list[int]) -> Any:
    spec = fleet()
    judge, state = Judge(spec), DeviceState.of(spec)
    for begin, end in pairwise(places):
        part = records[begin:end]
        batch = judge.decode([k for k, _ in part], [v for _, v in part])
        judge.order(batch, broker_ms[begin:end], state)
        resets = dict(zip(batch.at.tolist(), batch.reset.tolist(), strict=True))
        yield from ((int(x), batch.detail.get(i, ""), resets.get(i)) for i, x in enumerate(batch.reason))
    yield sorted((d, state.pack(s)) for d, s in state.devices)
