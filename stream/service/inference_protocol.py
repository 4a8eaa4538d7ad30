"""The Open Inference Protocol, version 2, REST: input `features` FP32 [n, F], output `prediction` FP32 [n, 1].

A model with intervals also has the outputs `lower` and `upper`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from aimaas.model.artefact import INPUT, OUTPUT
from aimaas.model.intervals import LOWER, UPPER
from aimaas.records.refusal_reasons import Reason
from stream.model.load import Model
from stream.service.bodies import ROOT, decoded
from stream.service.instances import Features, Float32, check_count
from stream.service.problems import FieldError, field_error, invalid

DATATYPE = "FP32"
PLATFORM = "onnxruntime_onnx"
_AT = f"{ROOT}/inputs/0"


class Tensor(msgspec.Struct):
    """An input; `data` is flat or one list per row."""

    name: str
    shape: list[int]
    datatype: str
    data: list[float | list[float]]


class Output(msgspec.Struct):
    """A requested output."""

    name: str


class InferRequest(msgspec.Struct):
    """A request; other keys of the protocol (parameters) are ignored."""

    inputs: list[Tensor]
    id: str | None = None
    outputs: list[Output] = []


_decoder = msgspec.json.Decoder(InferRequest)


@dataclass(frozen=True, slots=True)
class Asked:
    """The content of a request: its id, features (n, F) float32, and the requested outputs."""

    request_id: str | None
    features: Float32
    outputs: Sequence[str]


def outputs_of(model: Model) -> list[str]:
    """Return the names of the model's outputs."""
    return [OUTPUT] if model.bounds is None else [OUTPUT, LOWER, UPPER]


def read_request(body: bytes, model: Model, most: int) -> Asked:
    """Decode a request to `model`. Raises Problem."""
    request, width, there = decoded(_decoder, body), model.kernel.width, outputs_of(model)
    _check_names(request, there)
    tensor = request.inputs[0]
    if tensor.datatype != DATATYPE:
        raise invalid([field_error(f"{_AT}/datatype", tensor.datatype, DATATYPE)])
    if len(tensor.shape) != 2 or tensor.shape[1] != width or tensor.shape[0] < 0:
        raise invalid([field_error(f"{_AT}/shape", tensor.shape, f"[n, {width}], the model's features")])
    check_count(f"{_AT}/shape/0", tensor.shape[0], most)
    features = _matrix(tensor.data, (tensor.shape[0], width))
    return Asked(request.id, features, [output.name for output in request.outputs] or there)


def _check_names(request: InferRequest, there: Sequence[str]) -> None:
    names = [tensor.name for tensor in request.inputs]
    if names != [INPUT]:
        raise invalid([field_error(f"{ROOT}/inputs", names, f'one input named "{INPUT}"')])
    for i, output in enumerate(request.outputs):
        if output.name not in there:
            allowed = " or ".join(f'"{name}"' for name in there)
            raise invalid([field_error(f"{ROOT}/outputs/{i}/name", output.name, allowed)])


def _matrix(data: Sequence[Any], shape: tuple[int, int]) -> Float32:
    rows = [row if isinstance(row, list) else [row] for row in data]
    flat = [x for row in rows for x in row]
    nested = bool(data) and isinstance(data[0], list)
    fits = len(flat) == shape[0] * shape[1] and (not nested or [len(r) for r in rows] == [shape[1]] * shape[0])
    if not fits:
        detail = f"found {len(flat)} numbers, allowed: {shape[0] * shape[1]} as the shape {list(shape)} says"
        raise invalid([FieldError(f"{_AT}/data", detail)])
    with np.errstate(over="ignore"):
        matrix: npt.NDArray[np.float32] = np.array(flat, np.float64).astype(np.float32).reshape(shape)
    if not np.isfinite(matrix).all():
        at = int(np.argmin(np.isfinite(matrix)))
        place = f"{_AT}/data/{at // shape[1]}/{at % shape[1]}" if nested else f"{_AT}/data/{at}"
        raise invalid([field_error(place, flat[at], "a finite float32", Reason.NOT_FINITE)])
    return matrix


def row_of(features: Float32, i: int) -> Features:
    """Return one row as an instance."""
    return Features(features[i])


def row_pointers(count: int) -> list[str]:
    """Return the places of the rows, as exactly as a flat list allows."""
    return [f"{_AT}/data"] * count


def answer(model: Model, found: Mapping[str, list[float]], asked: Asked) -> dict[str, Any]:
    """Return the protocol's answer; `found` holds the model's outputs by name."""
    outputs = [
        {"name": name, "datatype": DATATYPE, "shape": [len(found[name]), 1], "data": found[name]}
        for name in asked.outputs
    ]
    named = {"model_name": model.metadata.fleet, "model_version": model.version}
    return {**named, **({"id": asked.request_id} if asked.request_id is not None else {}), "outputs": outputs}


def metadata(model: Model) -> dict[str, Any]:
    """Return the protocol's metadata of a model; `parameters` (ours) name the features in their order, and the unit."""
    width = model.kernel.width
    return {
        "name": model.metadata.fleet,
        "versions": [model.version],
        "platform": PLATFORM,
        "inputs": [{"name": INPUT, "datatype": DATATYPE, "shape": [-1, width]}],
        "outputs": [{"name": name, "datatype": DATATYPE, "shape": [-1, 1]} for name in outputs_of(model)],
        "parameters": {"feature_names": model.metadata.plan.feature_names, "unit": model.metadata.prediction_unit},
    }
