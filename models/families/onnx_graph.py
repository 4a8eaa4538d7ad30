"""An ONNX graph that is built node by node.

PyTorch's own exporters are not used: the one without further packages is deprecated and ties a recurrent network to the batch that
it was traced with, and names differ from run to run. Built by hand, the same weights give the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

_IR_VERSION = 8  # of ONNX 1.12, the first with opset 17


class Graph:
    """Nodes and constants of one graph with one input (n, width) float32."""

    def __init__(self, source: str, width: int) -> None:
        self.source, self.width = source, width
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def add(self, kind: str, *inputs: str, outputs: Sequence[int] = (0,), **attributes: Any) -> str:
        """Append a node; returns the name of its output. `outputs` are the positions of its outputs; the last is returned."""
        from onnx import helper

        name = f"{kind.lower()}_{len(self._nodes)}"
        names = [name if i in outputs else "" for i in range(max(outputs) + 1)]
        self._nodes.append(helper.make_node(kind, list(inputs), names, name=name, **attributes))
        return name

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        """Return the name of a constant array."""
        from onnx import numpy_helper

        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.array(values, dtype), name))
        return name

    def integers(self, *values: int) -> str:
        """Return the name of a constant int64 list."""
        return self.constant(values, np.int64)

    def columns(self, begin: int, end: int) -> str:
        """Return columns [begin, end) of the input."""
        places = (self.integers(place) for place in (begin, end, 1))
        return self.add("Slice", self.source, *places)

    def include(self, model: Any, width: int, answer: str) -> str:
        """Include another graph that reads the first `width` columns of the input; returns the name of its `answer` here."""
        import onnx

        prefix = f"part_{len(self._nodes)}_"
        source = model.graph.input[0].name
        part = onnx.compose.add_prefix(model, prefix).graph
        given = onnx.helper.make_node("Identity", [self.columns(0, width)], [prefix + source], name=prefix + source)
        self._nodes += [given, *part.node]
        self._constants += part.initializer
        return prefix + answer

    def model(self, answer: str, opsets: Mapping[str, int]) -> Any:
        """Return the finished model, whose only output is `answer` (n, 1) float32."""
        from onnx import TensorProto, helper

        ends = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, width])
            for name, width in ((self.source, self.width), (answer, 1))
        ]
        graph = helper.make_graph(self._nodes, "model", ends[:1], ends[1:], self._constants)
        versions = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
        return helper.make_model(graph, opset_imports=versions, ir_version=_IR_VERSION)
