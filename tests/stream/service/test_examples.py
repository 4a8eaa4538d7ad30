"""The examples on `/docs` are answered with 200 whatever the fleet file, and say what the fleet's predictions look like."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest

from aimaas.fleet import FleetSpec, load_fleet
from aimaas.model.intervals import Intervals
from stream.service.examples import fill_in
from tests.conftest import FLEETS
from tests.stream.service.conftest import Served, pump, weighted_sum

INTERVALS = Intervals(0.9, (), (-3.0,), (4.0,), 10, "calibration")
LIFE = {"kind": "remaining_useful_life", "unit": "hours", "cap": 500}
SENSOR = {"name": "x", "unit": "1", "range": [-10, 10]}


def made(**changes: Any) -> FleetSpec:
    plain = {
        "fleet": "made",
        "version": 1,
        "sensors": {"x": SENSOR},
        "task": LIFE,
        "training": {"candidates": {"ridge": {}}},
    }
    return FleetSpec.model_validate({**plain, **changes})


CASES = {
    "turbofan": load_fleet(FLEETS / "turbofan.yaml"),
    "mill": load_fleet(FLEETS / "mill.yaml"),
    "windows, settings, a null, a derived channel": pump(),
    "ordered by time": made(
        order="ts", sensors={"x": {**SENSOR, "nullable": True, "fill": "previous"}}, features={"windows": [3]}
    ),
    "probabilities": made(task={"kind": "failure_within", "unit": "hours", "horizon": 12}, settings={"o": SENSOR}),
    "lives of a thousand million rows": made(task={**LIFE, "cap": 1e9}),
    "zero in the midst of a divisor": made(
        sensors={"x": SENSOR, "y": {**SENSOR, "range": [-1e-9, 1e-9]}}, derived={"r": "x / (y - y * x)"}
    ),
    "no healthy device is admitted": made(sensors={"x": {**SENSOR, "range": [0, 1e20]}}, derived={"r": "x * x"}),
    "ranges near the ends of float32": made(sensors={"x": {**SENSOR, "range": [-1e30, 1e30]}}),
    "turbofan with narrower ranges": load_fleet(FLEETS / "turbofan.yaml").model_copy(
        update={"sensors": {n: r.model_copy(update={"range": (r.range[0], sum(r.range) / 2)})
                            for n, r in load_fleet(FLEETS / "turbofan.yaml").sensors.items()}}
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_every_example_of_the_page_is_answered_and_the_answers_shown_are_like_it(name: str, tmp_path: Path) -> None:
    fleet = CASES[name]
    with Served(tmp_path, fleet=fleet).start() as served:
        schema = served.call("/openapi.json").json
        posted = 0
        for path, operations in schema["paths"].items():
            if "post" not in operations:
                continue
            asked = operations["post"]["requestBody"]["content"]["application/json"]
            shown = operations["post"]["responses"]["200"]["content"]["application/json"]
            jsonschema.validate(shown["example"], shown["schema"])
            for example in asked["examples"].values():
                jsonschema.validate(example["value"], asked["schema"])
                answer = served.call(path.format(fleet=fleet.fleet), example["value"])
                assert answer.status == 200, (path, answer.text)
                jsonschema.validate(answer.json, shown["schema"])
                assert answer.json.keys() == shown["example"].keys()
                posted += 1
        assert posted == 5
        first = schema["paths"]["/predict"]["post"]
        (content,) = first["requestBody"]["content"].values()
        assert (
            served.call("/predict", content["examples"]["events"]["value"]).json
            == (first["responses"]["200"]["content"]["application/json"]["example"])
        )


def answers(fleet: FleetSpec, served: Served, model: Any) -> list[dict[str, Any]]:
    with served.start(model=False) as running:
        schema = running.call("/openapi.json").json
    fill_in(schema, fleet, model)
    posts = [schema["paths"][path]["post"] for path in ("/predict", "/explain", "/v2/models/{fleet}/infer")]
    return [post["responses"]["200"]["content"]["application/json"]["example"] for post in posts]


def test_before_a_model_serves_there_are_requests_to_try_and_no_answers(tmp_path: Path) -> None:
    with Served(tmp_path, fleet=CASES["turbofan"]).start(model=False) as served:
        schema = served.call("/openapi.json").json
    posts = [operations["post"] for operations in schema["paths"].values() if "post" in operations]
    assert all(post["requestBody"]["content"]["application/json"]["examples"] for post in posts)
    assert not any("example" in post["responses"]["200"]["content"]["application/json"] for post in posts)


def test_bounds_are_shown_where_the_model_has_intervals_and_only_there(tmp_path: Path) -> None:
    fleet = CASES["turbofan"]
    served = Served(tmp_path, fleet=fleet)

    without = answers(fleet, served, served.model)
    bounded = answers(fleet, served, weighted_sum(fleet, tmp_path, "2", intervals=INTERVALS))

    assert [("lower" in str(answer), "upper" in str(answer)) for answer in without] == [(False, False)] * 3
    assert [("lower" in str(answer), "upper" in str(answer)) for answer in bounded] == [(True, True)] * 3


def test_a_probability_has_unit_1_also_where_an_older_model_says_the_fleets(tmp_path: Path) -> None:
    with Served(tmp_path, fleet=CASES["mill"]).start() as served:
        assert served.model.metadata.unit == "operations"
        body = {"features": [0.0] * served.model.kernel.width}

        assert served.call("/predict", body).json["unit"] == "1"
        assert served.call("/explain", body).json["unit"] == "1"
        assert served.call("/v2/models/mill").json["parameters"]["unit"] == "1"
        said = "Predictions are probabilities of a failure within 5 operations."
        assert said in served.call("/openapi.json").json["info"]["description"]
