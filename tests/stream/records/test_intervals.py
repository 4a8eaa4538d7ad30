"""The contract of intervals: stream, batch and HTTP say the same bounds of the same event."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from aimaas.model.intervals import Bounds, Intervals
from stream.model.load import load_model
from tests.stream.conftest import Line
from tests.stream.service.conftest import Served, pump, weighted_sum
from tests.upkeep.dead_letters.test_replay import by_origin, replay_all, scored_with_a_narrow_range

MADE = Intervals(0.9, (20.0, 60.0), (-1.5, -7.0, -30.0), (2.5, 8.0, 20.0), 40, "cross-validation")


def expected(prediction: float) -> tuple[float, float]:
    """Bounds of one prediction of the line's tiny model."""
    lower, upper = Bounds(MADE, (0.0, 1e9)).of(np.array([prediction], np.float32))
    return float(lower[0]), float(upper[0])


@pytest.mark.broker
def test_stream_batch_and_http_give_the_same_bounds(line: Line, tmp_path: Path) -> None:
    line.intervals = MADE
    champion, events, _, refused = scored_with_a_narrow_range(line)
    replay_all(line)
    line.score_all(len(events), refused)

    said = by_origin(line).values()
    assert {kind for kind, _ in said} == {"aimaas.prediction", "aimaas.prediction.backfill"}
    assert len(said) == len(events)
    assert all((p["lower"], p["upper"]) == expected(p["prediction"]) for _, p in said)

    (tmp_path / "http").mkdir()
    served = Served(tmp_path / "http", fleet=line.fleet)
    served.model = load_model(champion, line.fleet, line.settings)
    histories = by_device(events)
    with served.start():
        for kind, p in said:
            if kind.endswith("backfill") or p["seq"] == 1:  # the stream scored the others without what it had refused
                answer = served.call("/predict", {"events": histories[p["device_id"]][: p["seq"]]}).json
                bounds = [answer[name][0] for name in ("prediction", "lower", "upper")]
                assert bounds == [p["prediction"], p["lower"], p["upper"]]


def by_device(events: list[tuple[bytes, bytes]]) -> dict[str, list[dict[str, Any]]]:
    """Each device's events in their order, in the form that HTTP takes."""
    found: dict[str, list[dict[str, Any]]] = {}
    for event in sorted((json.loads(value) for _, value in events), key=lambda e: int(e["seq"])):
        found.setdefault(event["device_id"], []).append({name: event[name] for name in ("readings", "run", "seq")})
    return found


@pytest.mark.broker
def test_a_model_without_intervals_serves_as_before(line: Line) -> None:
    line.champion()
    events = line.events(devices=1)
    line.send(events)
    line.score_all(len(events))
    assert not {"lower", "upper"} & set(msgspec.json.decode(line.predictions()[0].value or b""))


def test_the_inference_protocol_has_the_bounds_as_outputs_that_may_be_asked_for(tmp_path: Path) -> None:
    served = Served(tmp_path)
    served.model = weighted_sum(pump(), tmp_path, intervals=msgspec.structs.replace(MADE, edges=(0.2, 0.4)))
    width = served.model.kernel.width
    row = {"name": "features", "shape": [1, width], "datatype": "FP32", "data": [0.01] * width}
    with served.start():
        everything = served.call("/v2/models/pump/infer", {"inputs": [row]}).json["outputs"]
        some = served.call("/v2/models/pump/infer", {"inputs": [row], "outputs": [{"name": "upper"}]}).json["outputs"]
        wrong = served.call("/v2/models/pump/infer", {"inputs": [row], "outputs": [{"name": "median"}]}).json
        plain = served.call("/predict", {"features": row["data"]}).json
        about = served.call("/v2/models/pump").json["outputs"]
    assert [o["name"] for o in about] == ["prediction", "lower", "upper"]
    assert {o["name"]: o["data"] for o in everything} == {
        name: plain[name] for name in ("prediction", "lower", "upper")
    }
    assert some == [everything[2]]
    assert wrong["errors"][0]["allowed"] == '"prediction" or "lower" or "upper"'
