"""`POST /predict`: what it answers, and what it says of a body that it cannot answer."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from aimaas.admission.judge import Judge
from aimaas.records.events import encode_event
from stream.state.partition import PartitionState, Records
from tests.partitioners import anywhere
from tests.stream.service.conftest import Served

WIDTH = 22
TS = datetime(2026, 11, 23, 10, tzinfo=UTC)


def event(**changes: Any) -> dict[str, Any]:
    return {"readings": {"o": 0.5, "a": 1.0, "b": 2.0, "n": 3.0, **changes}}


def whole_run(seed: int, rows: int) -> list[dict[str, Any]]:
    rng = random.Random(seed)

    def number() -> float:
        return round(rng.uniform(0.1, 9), 3)

    return [
        {"readings": {"o": number(), "a": number(), "b": number(), "n": rng.choice([None, number()])}, "seq": seq}
        for seq in range(1, rows + 1)
    ]


def of_the_stream(served: Served, events: list[dict[str, Any]]) -> float:
    """The stream's prediction for the last of one device's events."""
    values = [
        encode_event("pump", "e-1", e.get("run", 0), i, TS + timedelta(seconds=i), e["readings"])
        for i, e in enumerate(events)
    ]
    n = len(values)
    now = np.full(n, int(TS.timestamp() * 1e3) + 1_000_000, np.int64)
    records = Records([b"e-1"] * n, values, np.arange(n, dtype=np.int64), now)
    state = PartitionState.empty(served.fleet, 0, 0)
    batch, features = state.advance(Judge(anywhere(served.fleet)), served.model.kernel, records)
    assert len(batch.admitted) == n
    return float(served.model.predict(features)[-1])


def test_the_whole_run_gives_the_streams_prediction_to_the_bit(served: Served) -> None:
    runs = [whole_run(seed, rows) for seed, rows in enumerate([1, 2, 3, 4, 7, 40])]
    answer = served.call("/predict", {"instances": [{"events": run} for run in runs]})
    assert answer.status == 200
    expected = {"prediction": [of_the_stream(served, run) for run in runs], "model_version": "1", "unit": "cycles"}
    assert answer.json == expected
    assert [served.call("/predict", {"events": run}).json["prediction"][0] for run in runs] == expected["prediction"]


def test_events_of_two_runs_begin_anew_where_the_run_rises(served: Served) -> None:
    events = [{**e, "run": 0} for e in whole_run(1, 5)] + [{**e, "run": 1} for e in whole_run(2, 3)]
    answer = served.call("/predict", {"events": events})
    assert answer.json["prediction"] == [of_the_stream(served, events)]
    assert answer.json["prediction"] == served.call("/predict", {"events": events[5:]}).json["prediction"]


def test_features_go_to_the_model_as_they_are(served: Served) -> None:
    assert served.model.kernel.width == WIDTH
    row = np.linspace(0, 1, WIDTH, dtype=np.float32)
    answer = served.call("/predict", {"instances": [{"features": row.tolist()}, {"events": whole_run(3, 4)}]})
    assert answer.json["prediction"][0] == float(served.model.predict(row[None])[0])
    assert answer.json["prediction"][1] == of_the_stream(served, whole_run(3, 4))


REFUSED = [
    ({"events": [event(), event(a=11)]}, "#/events/1/readings/a", "out_of_range", "11", "-10 to 10"),
    ({"instances": [{"events": [event(a=None)]}]}, "#/instances/0/events/0/readings/a", "missing_reading", "null", "-10"),
    ({"events": [{"readings": {"o": 1}}]}, "#/events/0/readings/a", "missing_reading", "nothing", "-10 to 10"),
    ({"events": [event(a=float("nan"))]}, "#/events/0/readings/a", "not_finite", "NaN", "finite"),
    ({"events": [event(b=0)]}, "#/events/0/readings/ratio", "not_finite", "inf", "finite"),
    ({"events": [event(a="1")]}, "#/events/0/readings/a", "", '"1"', "float"),
    ({"events": [event(a=True)]}, "#/events/0/readings/a", "", "true", "float"),
    ({"events": [event(), {}]}, "#/events/1/readings", "", "", ""),
    ({"events": {}}, "#/events", "", "{}", "array"),
    ({"events": []}, "#/events", "", "[]", "at least one event"),
    ({"events": [{**event(), "seq": 2}, {**event(), "seq": 2}]}, "#/events/1/seq", "", "2", "more than 2"),
    ({"events": [{**event(), "run": 2}, {**event(), "run": 1}]}, "#/events/1/run", "", "1", "more than 2"),
    ({"events": [{**event(), "run": -1}]}, "#/events/0/run", "", "-1", ""),
    ({"features": [1.0]}, "#/features", "", "", ""),
    ({"features": [1e39] * WIDTH}, "#/features/0", "not_finite", "1e+39", "float32"),
    ({"features": [None]}, "#/features/0", "", "null", "float"),
    ({"events": [event()], "features": [1]}, "#", "", "", ""),
    ({}, "#", "", "", ""),
    ([], "#", "", "[]", "object"),
    ({"instances": [5]}, "#/instances/0", "", "5", "object"),
    ({"instances": []}, "#/instances", "", "[]", "at least one"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "pointer", "reason", "found", "allowed"), REFUSED)
def test_a_bad_body_is_answered_with_field_reason_what_was_found_and_what_is_allowed(
    served: Served, body: Any, pointer: str, reason: str, found: str, allowed: str
) -> None:
    answer = served.call("/predict", body)
    assert (answer.status, answer.headers["content-type"]) == (422, "application/problem+json")
    problem = answer.json
    assert problem["type"] == "urn:aimaas:problem:invalid-input"
    assert (problem["status"], problem["detail"][: len(pointer) + 1]) == (422, f"{pointer}:")
    first = problem["errors"][0]
    assert (first["pointer"], first.get("reason", "")) == (pointer, reason)
    assert found in first.get("found", "")
    assert allowed in first.get("allowed", "")


@pytest.mark.parametrize("path", ["/predict", "/explain"])
def test_an_answer_that_is_no_number_has_the_name_that_the_dead_letter_has(served: Served, path: str) -> None:
    body = {"instances": [{"events": [event()]}, {"features": [3e38] * WIDTH}]}

    answer = served.call(path, body)

    said = "model version 1 returned inf, which is not a prediction; another version may return one"
    assert (answer.status, answer.json["type"]) == (422, "urn:aimaas:problem:no-prediction")
    assert answer.json["detail"] == f"#/instances/1: {said}"
    assert [e["reason"] for e in answer.json["errors"]] == ["no_prediction"]
    assert served.call(path, {"instances": body["instances"][:1]}).status == 200


def test_a_bad_instance_beside_one_without_an_answer_is_bad_input(served: Served) -> None:
    answer = served.call("/predict", {"instances": [{"features": [3e38] * WIDTH}, {"events": [event(a=99)]}]})

    assert answer.json["type"] == "urn:aimaas:problem:invalid-input"
    assert [e["reason"] for e in answer.json["errors"]] == ["no_prediction", "out_of_range"]


def test_every_refused_instance_is_named_and_the_good_ones_of_other_requests_are_answered(served: Served) -> None:
    bad = {"events": [event(), event(a=99)]}
    answer = served.call("/predict", {"instances": [bad, {"events": [event()]}, bad]})
    assert [e["pointer"] for e in answer.json["errors"]] == [f"#/instances/{i}/events/1/readings/a" for i in (0, 2)]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"events": [}', b"{} x", b"[" * 100_000, b'{"a":' * 60_000])
def test_what_is_no_json_is_said_to_be_none(served: Served, body: bytes) -> None:
    answer = served.call("/predict", body)
    assert (answer.status, answer.json["type"]) == (400, "urn:aimaas:problem:bad-json")


@pytest.mark.parametrize("depth", range(100, 1_100, 50))
def test_nesting_of_any_depth_is_an_error_of_the_caller(served: Served, depth: int) -> None:
    nested = b"[" * depth + b"]" * depth
    for body in (b'{"features":' + nested + b"}", b'{"instances":[' + nested + b"]}", b'{"a":' + nested + b',"b":NaN}'):
        assert served.call("/predict", body).status in (400, 422)


def test_a_null_is_filled_as_the_fleet_file_says(served: Served) -> None:
    events = [event(n=7.0), event(n=None), event(n=-3.0)]
    assert served.call("/predict", {"events": events}).json["prediction"] == [of_the_stream(served, events)]


words = st.sampled_from(["instances", "events", "features", "readings", "run", "seq", "o", "a", "b", "n", "\ud800"])
leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["\ud800"])
values = st.recursive(leaves, lambda x: st.lists(x, max_size=4) | st.dictionaries(words, x, max_size=5), max_leaves=30)
events_like = st.lists(st.fixed_dictionaries({"readings": st.dictionaries(words, leaves, max_size=6)}) | values)
bodies = values | st.builds(lambda e: {"events": e}, events_like) | st.builds(lambda v: {"instances": v}, values)


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bodies, st.sampled_from(["/predict", "/v2/models/pump/infer"]))
@example({"features": [0.0] * WIDTH}, "/predict")
@example({"events": [{"readings": {"\ud800": float("inf")}}]}, "/predict")
def test_no_json_body_makes_the_service_fail(served: Served, body: Any, path: str) -> None:
    answer = served.call(path, json.dumps(body).encode())
    assert answer.status in (200, 400, 422)
    assert isinstance(answer.json, dict)


@settings(max_examples=300)
@given(st.binary(max_size=200), st.integers(0, 400))
def test_no_bytes_make_the_service_fail(served: Served, noise: bytes, at: int) -> None:
    good = json.dumps({"instances": [{"events": [event(), event()]}]}).encode()
    assert served.call("/predict", good[:at] + noise + good[at + len(noise) :]).status in (200, 400, 422)
