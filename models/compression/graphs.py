"""Forms of one ONNX graph that keep its structure: optimised, and in static int8."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aimaas.model.artefact import INPUT
from aimaas.model.cached_session import one_thread_session

Float32 = npt.NDArray[np.float32]

DENSE = ("Gemm", "MatMul")
_CALIBRATION_ROWS = 1_000


def optimised(content: bytes) -> bytes:
    """The graph as onnxruntime simplifies it with standard operators alone, with input scalers merged into the first layers.

    A scaler before trees stays where it is: merging it would move thresholds.
    """
    import onnx
    import onnxruntime

    basic = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    model = onnx.load_model_from_string(_written_by_onnxruntime(content, basic))
    for node in [n for n in model.graph.node if n.op_type == "Scaler"]:
        _fold_scaler(model.graph, node)
    model = onnx.load_model_from_string(_written_by_onnxruntime(model.SerializeToString(), basic))
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def running_graph(content: bytes) -> Any:
    """Return the graph that a session runs: as onnxruntime fuses it when the scorer opens the file."""
    import onnx
    import onnxruntime

    return onnx.load_model_from_string(
        _written_by_onnxruntime(content, onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED)
    ).graph


def is_neural(content: bytes) -> bool:
    """Return whether the graph multiplies by a matrix of weights with more than one column."""
    return any(len(w.dims) == 2 and w.dims[1] > 1 for _, w in _dense(content))


def in_int8(content: bytes, rows: Float32, seed: int) -> bytes:
    """Return layers in int8 with static ranges from some of the training rows (n, F), so that no prediction depends on its batch.

    Weights keep 7 bits: with 8, processors without VNNI saturate sums, and the same file would predict otherwise there.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_static
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    model = onnx.load_model_from_string(content)
    add_pre_process_metadata(model)
    drawn = np.random.default_rng(seed).permutation(len(rows))[:_CALIBRATION_ROWS]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "int8.onnx"
        quantize_static(
            model, path, _once(rows[np.sort(drawn)]), op_types_to_quantize=list(DENSE), reduce_range=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
        )  # fmt: skip
        found = onnx.load_model(path)
    return bytes(found.SerializeToString(deterministic=True))


def _once(rows: Float32) -> Any:
    """Return the rows in the form that onnxruntime's calibration reads: one batch."""
    from onnxruntime.quantization import CalibrationDataReader

    class Once(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._batches = iter([{INPUT: rows}])

        def get_next(self) -> dict[str, Float32] | None:
            return next(self._batches, None)

    return Once()


def _written_by_onnxruntime(content: bytes, level: Any) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "graph.onnx"
        one_thread_session(content, level, path)
        return path.read_bytes()


def _dense(content: bytes) -> list[tuple[Any, Any]]:
    """Return layers and their matrices of weights."""
    import onnx

    graph = onnx.load_model_from_string(content).graph
    weights = {w.name: w for w in graph.initializer}
    return [(n, weights[n.input[1]]) for n in graph.node if n.op_type in DENSE and n.input[1] in weights]


def _fold_scaler(graph: Any, scaler: Any) -> None:
    """(x - offset) * scale before a layer x @ W + b is the layer x @ (scale W) + (b - (offset scale) @ W)."""
    from onnx import helper, numpy_helper

    of = {a.name: np.array(helper.get_attribute_value(a), np.float64) for a in scaler.attribute}
    layers = [layer for node in _readers(graph, scaler) if (layer := _layer(graph, node))]
    if len(layers) < len(_readers(graph, scaler)):
        return
    for product, kernel, bias in layers:
        scaled = numpy_helper.to_array(kernel).astype(np.float64) * of["scale"][:, None]
        shifted = numpy_helper.to_array(bias).astype(np.float64) - of["offset"] @ scaled
        kernel.CopyFrom(numpy_helper.from_array(scaled.astype(np.float32), kernel.name))
        bias.CopyFrom(numpy_helper.from_array(shifted.astype(np.float32), bias.name))
        product.input[0] = scaler.input[0]
    graph.node.remove(scaler)


def _layer(graph: Any, product: Any) -> tuple[Any, Any, Any] | None:
    """Return a product with weights, the sum with a bias after it, and both tensors, if nothing else reads them; else None."""
    weights = {w.name: w for w in graph.initializer}
    after = _readers(graph, product)
    if product.op_type != "MatMul" or product.input[1] not in weights or [n.op_type for n in after] != ["Add"]:
        return None
    biases = [weights[name] for name in after[0].input if name in weights]
    tensors = [weights[product.input[1]], *biases]
    alone = all(sum(t.name in n.input for n in graph.node) == 1 for t in tensors)
    return (product, *tensors) if len(biases) == 1 and alone else None


def _readers(graph: Any, node: Any) -> list[Any]:
    return [n for n in graph.node if node.output[0] in n.input]
