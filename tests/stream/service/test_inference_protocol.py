"""The Open Inference Protocol: names, shapes and data as its version 2 has them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from tests.stream.service.conftest import Served, Serving

WIDTH = 22
INFER = "/v2/models/pump/infer"


def tensor(**changes: Any) -> dict[str, Any]:
    return {"name": "features", "shape": [1, WIDTH], "datatype": "FP32", "data": [0.5] * WIDTH, **changes}


def test_features_whose_bits_are_the_bytes_of_an_instance_are_another_input(served: Served) -> None:
    width = served.model.kernel.width
    instance = json.dumps({"features": [0] * width}, separators=(",", ":")).encode().ljust(4 * width)
    assert len(instance) == 4 * width
    row = np.frombuffer(instance, np.float32)
    request = {"inputs": [{"name": "features", "shape": [1, width], "datatype": "FP32", "data": row.tolist()}]}

    predicted = served.call("/predict", instance).json["prediction"]
    inferred = served.call("/v2/models/pump/infer", request).json["outputs"][0]["data"]

    assert predicted == [0.0]
    assert inferred == served.model.predict(row[None]).tolist() != predicted


def test_rows_are_answered_flat_or_nested_as_the_model_answers_them(served: Served) -> None:
    rows = np.random.default_rng(1).normal(size=(3, WIDTH)).astype(np.float32)
    expected = served.model.predict(rows).tolist()
    for data in (rows.tolist(), rows.ravel().tolist()):
        answer = served.call(INFER, {"id": "42", "inputs": [tensor(shape=[3, WIDTH], data=data)]})
        assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
        assert answer.json == {
            "model_name": "pump",
            "model_version": "1",
            "id": "42",
            "outputs": [{"name": "prediction", "datatype": "FP32", "shape": [3, 1], "data": expected}],
        }


def test_predict_and_infer_say_the_same_of_the_same_features(served: Served) -> None:
    row = [0.1] * WIDTH
    infer = served.call(INFER, {"inputs": [tensor(data=row)], "outputs": [{"name": "prediction"}]})
    assert "id" not in infer.json
    assert infer.json["outputs"][0]["data"] == served.call("/predict", {"features": row}).json["prediction"]


@pytest.mark.parametrize(
    ("request_", "pointer"),
    [
        ({}, "#/inputs"),
        ({"inputs": []}, "#/inputs"),
        ({"inputs": [tensor(), tensor()]}, "#/inputs"),
        ({"inputs": [tensor(name="x")]}, "#/inputs"),
        ({"inputs": [tensor()], "outputs": [{"name": "x"}]}, "#/outputs/0/name"),
        ({"inputs": [tensor(datatype="FP64")]}, "#/inputs/0/datatype"),
        ({"inputs": [tensor(shape=[WIDTH])]}, "#/inputs/0/shape"),
        ({"inputs": [tensor(shape=[1, 3])]}, "#/inputs/0/shape"),
        ({"inputs": [tensor(shape=[-1, WIDTH])]}, "#/inputs/0/shape"),
        ({"inputs": [tensor(shape=[0, WIDTH], data=[])]}, "#/inputs/0/shape/0"),
        ({"inputs": [tensor(shape=[2, WIDTH])]}, "#/inputs/0/data"),
        ({"inputs": [tensor(data=[[0.5] * WIDTH, []])]}, "#/inputs/0/data"),
        ({"inputs": [tensor(data=[0.5] * (WIDTH - 1) + ["x"])]}, f"#/inputs/0/data/{WIDTH - 1}"),
        ({"inputs": [tensor(data=[0.5] * (WIDTH - 1) + [1e300])]}, f"#/inputs/0/data/{WIDTH - 1}"),
        ({"inputs": [tensor(data=[float("nan")] * WIDTH)]}, "#/inputs/0/data/0"),
        ({"inputs": [tensor(data=[[0.5] * (WIDTH - 1) + [1e300]])]}, f"#/inputs/0/data/0/{WIDTH - 1}"),
    ],
)
def test_a_bad_request_is_answered_with_the_field(served: Served, request_: Any, pointer: str) -> None:
    answer = served.call(INFER, request_)
    assert answer.status == 422
    assert answer.json["errors"][0]["pointer"] == pointer
    assert answer.json["error"] == answer.json["detail"]  # where the protocol's clients look


def test_too_many_rows_are_refused(serving: Serving) -> None:
    with serving(instances=2) as served:
        answer = served.call(INFER, {"inputs": [tensor(shape=[3, WIDTH], data=[0.5] * 3 * WIDTH)]})
        assert (answer.status, answer.json["errors"][0]["pointer"]) == (413, "#/inputs/0/shape/0")


def test_the_metadata_names_the_features_in_their_order(served: Served) -> None:
    found = served.call("/v2/models/pump").json
    names = found.pop("parameters")
    assert found == {
        "name": "pump", "versions": ["1"], "platform": "onnxruntime_onnx",
        "inputs": [{"name": "features", "datatype": "FP32", "shape": [-1, WIDTH]}],
        "outputs": [{"name": "prediction", "datatype": "FP32", "shape": [-1, 1]}],
    }  # fmt: skip
    assert names == {"feature_names": list(served.model.metadata.plan.feature_names), "unit": "cycles"}


@pytest.mark.parametrize("path", ["/v2/models/mill", "/v2/models/mill/ready", "/v2/models/mill/infer"])
def test_another_model_is_not_found_and_the_one_there_is_is_named(served: Served, path: str) -> None:
    answer = served.call(path, {} if path.endswith("infer") else None)
    assert (answer.status, answer.json["detail"]) == (404, "/v2/models/mill: no such model, allowed: pump")


def test_server_and_model_say_that_they_are_ready(served: Served) -> None:
    assert served.call("/v2").json["name"] == "aimaas"
    assert served.call("/v2/health/live").json == {"live": True}
    assert served.call("/v2/health/ready").json == {"ready": True, "model_version": "1"}
    assert served.call("/v2/models/pump/ready").json == {"name": "pump", "ready": True}
