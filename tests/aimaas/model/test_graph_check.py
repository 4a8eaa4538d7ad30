"""A graph is run only if it holds standard operators, is bounded, and has all its data with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx import AttributeProto, ModelProto, TensorProto, helper, numpy_helper

from aimaas.model.graph_check import MOST_NODES, GraphError, check_graph


def graph_of(nodes: list[Any], *initializers: Any) -> Any:
    return helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1])], list(initializers),
    )  # fmt: skip


def model(nodes: list[Any] | None = None, *initializers: Any, domain: str = "") -> Any:
    given = [helper.make_node("Identity", ["x"], ["y"])] if nodes is None else nodes
    return helper.make_model(graph_of(given, *initializers), opset_imports=[helper.make_opsetid(domain, 17)])


def external(name: str = "w", by: str = "location") -> TensorProto:
    tensor = numpy_helper.from_array(np.ones(1, np.float32), name)
    if by == "location":
        tensor.data_location = TensorProto.EXTERNAL
    else:
        tensor.external_data.add(key="location", value="/etc/passwd")
    return tensor


def sparse(values: TensorProto) -> Any:
    return helper.make_sparse_tensor(values, numpy_helper.from_array(np.zeros(1, np.int64), "i"), [1])


def with_sparse() -> Any:
    made = model()
    made.graph.sparse_initializer.append(sparse(external()))
    return made


def inside(then: Any) -> Any:
    """A node with a graph of its own."""
    return helper.make_node("If", ["c"], ["y"], then_branch=then, else_branch=graph_of([]))


def nested(depth: int) -> Any:
    graph = graph_of([])
    for _ in range(depth):
        graph = graph_of([inside(graph)])
    return model(list(graph.node))


def with_function() -> ModelProto:
    made = model()
    made.functions.append(helper.make_function("own", "f", ["x"], ["y"], [], [helper.make_opsetid("", 17)]))
    return made


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: model(None, external()), "is in another file"),
        (lambda: model(None, external(by="key")), "is in another file"),
        (with_sparse, "is in another file"),
        (lambda: model([helper.make_node("Constant", [], ["y"], value=external())]), "is in another file"),
        (lambda: model([helper.make_node("Constant", [], ["y"], sparse_value=sparse(external()))]), "another file"),
        (lambda: model([helper.make_node("X", [], ["y"], many=[external("a"), external("b")])]), "another file"),
        (lambda: model([inside(graph_of([], external()))]), "is in another file"),
        (lambda: model([inside(graph_of([helper.make_node("Own", [], [], domain="com.x")]))]), "domain 'com.x'"),
        (lambda: model([helper.make_node("Own", ["x"], ["y"], domain="com.microsoft")]), "domain 'com.microsoft'"),
        (with_function, "functions"),
        (lambda: nested(20), "nest more than"),
        (lambda: model([helper.make_node("Loop", ["", ""], ["y"], body=graph_of([]))]), "a Loop"),
        (lambda: model([helper.make_node("Identity", ["x"], ["y"])] * (MOST_NODES + 1)), "more than 100000 operators"),
    ],
)
def test_what_is_no_self_contained_standard_graph_is_refused(make: Callable[[], Any], says: str) -> None:
    with pytest.raises(GraphError, match=says):
        check_graph(make())


def test_plain_graphs_pass() -> None:
    check_graph(model())
    check_graph(nested(3))
    check_graph(model(domain="ai.onnx.training"))  # imported and not used, as onnxruntime writes its files
    check_graph(model(None, numpy_helper.from_array(np.ones(3, np.float32), "w"), domain="ai.onnx.ml"))
    assert AttributeProto.TENSOR == 4, "attributes of any declared type are looked into by what they hold"
