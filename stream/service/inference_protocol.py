"""The Open Inference Protocol, version 2, REST: input `features` FP32 [n, F], output `prediction` FP32 [n, 1]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from aimaas.artefact import INPUT, OUTPUT
from aimaas.reasons import Reason
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
    """A wish for an output; there is only one."""

    name: str


class InferRequest(msgspec.Struct):
    """A request; what else the protocol knows (parameters) is passed over."""

    inputs: list[Tensor]
    id: str | None = None
    outputs: list[Output] = []


_decoder = msgspec.json.Decoder(InferRequest)


def read_request(body: bytes, width: int, most: int) -> tuple[str | None, Float32]:
    """The request's id and its features (n, width) float32. Raises Problem."""
    request = decoded(_decoder, body)
    _check_names(request)
    tensor = request.inputs[0]
    if tensor.datatype != DATATYPE:
        raise invalid([field_error(f"{_AT}/datatype", tensor.datatype, DATATYPE)])
    if len(tensor.shape) != 2 or tensor.shape[1] != width or tensor.shape[0] < 0:
        raise invalid([field_error(f"{_AT}/shape", tensor.shape, f"[n, {width}], the model's features")])
    check_count(f"{_AT}/shape/0", tensor.shape[0], most)
    return request.id, _matrix(tensor.data, (tensor.shape[0], width))


def _check_names(request: InferRequest) -> None:
    names = [tensor.name for tensor in request.inputs]
    if names != [INPUT]:
        raise invalid([field_error(f"{ROOT}/inputs", names, f'one input named "{INPUT}"')])
    for i, output in enumerate(request.outputs):
        if output.name != OUTPUT:
            raise invalid([field_error(f"{ROOT}/outputs/{i}/name", output.name, f'"{OUTPUT}"')])


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
    """One row as an instance."""
    return Features(features[i])


def row_pointers(count: int) -> list[str]:
    """Where the rows lie, as well as a flat list lets one say."""
    return [f"{_AT}/data"] * count


def answer(model: Model, predictions: list[float], request_id: str | None) -> dict[str, Any]:
    """The protocol's answer."""
    output = {"name": OUTPUT, "datatype": DATATYPE, "shape": [len(predictions), 1], "data": predictions}
    named = {"model_name": model.metadata.fleet, "model_version": model.version}
    return {**named, **({"id": request_id} if request_id is not None else {}), "outputs": [output]}


def metadata(model: Model) -> dict[str, Any]:
    """What the protocol tells of a model; `parameters` (ours) name the features in their order, and the unit."""
    width = model.kernel.width
    return {
        "name": model.metadata.fleet,
        "versions": [model.version],
        "platform": PLATFORM,
        "inputs": [{"name": INPUT, "datatype": DATATYPE, "shape": [-1, width]}],
        "outputs": [{"name": OUTPUT, "datatype": DATATYPE, "shape": [-1, 1]}],
        "parameters": {"feature_names": model.metadata.plan.feature_names, "unit": model.metadata.unit},
    }
