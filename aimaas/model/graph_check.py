"""Checks the content of an ONNX file: standard operators in a bounded graph, with all data inside the file.

onnxruntime would read tensors from any file that the model names, and load code for unknown operators. So such files are
refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

DOMAINS = ("", "ai.onnx", "ai.onnx.ml")
MOST_NODES = 100_000
_MOST_DEPTH = 8  # of graphs within graphs
_EXTERNAL = 1  # TensorProto.DataLocation


class GraphError(ValueError):
    """A graph that is not run; the message names the forbidden content."""


def check_graph(model: Any) -> None:
    """Raise GraphError unless the ONNX `ModelProto` is self-contained, of standard operators, and bounded."""
    if model.functions or model.training_info:
        raise GraphError("its own functions or training steps; allowed is one graph of standard operators")
    nodes = 0  # imported domains that are not used do not count: onnxruntime writes all that it knows into a file
    for graph in _graphs(model.graph, 0):
        nodes += len(graph.node)
        if nodes > MOST_NODES:
            raise GraphError(f"more than {MOST_NODES} operators")
        for node in graph.node:
            _check_node(node)
        for tensor in _tensors(graph):
            if tensor.external_data or tensor.data_location == _EXTERNAL:
                raise GraphError(f"tensor {tensor.name[:80]!r} is in another file; allowed is data within the model")


def _check_node(node: Any) -> None:
    if node.domain not in DOMAINS:
        raise GraphError(f"operators of the domain {node.domain[:80]!r}; allowed are standard ONNX operators")
    if node.op_type == "Loop":
        raise GraphError("a Loop, which may never end; export it unrolled")


def _graphs(graph: Any, depth: int) -> Iterator[Any]:
    """Yield the graph and all graphs within it. Raises GraphError if they nest too deeply."""
    if depth > _MOST_DEPTH:
        raise GraphError(f"graphs that nest more than {_MOST_DEPTH} levels deep")
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _graphs(inner, depth + 1)


def _tensors(graph: Any) -> Iterator[Any]:
    """Yield every tensor of the graph itself: initialisers and attributes, and the parts of sparse ones."""
    sparse = list(graph.sparse_initializer)
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield from (*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors)
            sparse += [
                *([attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []),
                *attribute.sparse_tensors,
            ]
    for one in sparse:
        yield from (one.values, one.indices)
