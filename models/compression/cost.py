"""The cost of running a graph, counted and not timed, so that any machine at any load chooses the same form on the same rows.

The weights were fitted to onnxruntime 1.32 on one core with AVX-512. They only have to sort forms correctly; the model card shows
measured times beside them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from models.compression.graphs import running_graph

BATCHES = (1, 1_024)

_CALL_US, _NODE_US = 3.5, 0.35  # of a call, and of each node in it
_MULTIPLIED_US = {"float": 9e-6, "int8": 5e-6}  # a weight times a number, by its type
_BRANCH_US = 1.5e-3  # from a node of a tree to the next node
_OTHER_US = 0.02  # any other node, for one row
_INT8_LAYERS = ("QGemm", "QLinearMatMul", "MatMulIntegerToFloat")


def cost_of(content: bytes) -> float:
    """Return expected microseconds per row of a file: the geometric mean of batch 1 and batch 1,024."""
    graph = running_graph(content)
    row = sum(_row_cost(node, graph) for node in graph.node)
    call = _CALL_US + _NODE_US * len(graph.node)
    return math.prod(call / batch + row for batch in BATCHES) ** (1 / len(BATCHES))


def _row_cost(node: Any, graph: Any) -> float:
    if node.op_type.startswith("TreeEnsemble"):
        return _BRANCH_US * branches_of(node)
    sizes = {w.name: math.prod(w.dims) for w in graph.initializer if len(w.dims) >= 2}
    held = max((sizes[name] for name in node.input if name in sizes), default=0)
    if node.op_type in _INT8_LAYERS:
        return _MULTIPLIED_US["int8"] * held
    return _MULTIPLIED_US["float"] * held or _OTHER_US


def branches_of(node: Any) -> float:
    """Return the number of branches that a row passes in all trees of the node, if every leaf of a tree is equally likely."""
    import onnx

    of = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    tree, id_, leaf = (np.array(of[n]) for n in ("nodes_treeids", "nodes_nodeids", "nodes_modes"))
    leaf = leaf == b"LEAF"
    place = {key: i for i, key in enumerate(zip(tree.tolist(), id_.tolist(), strict=True))}
    depth = np.zeros(len(tree))
    for i in range(len(tree)):  # parents come before their children
        if not leaf[i]:
            for side in ("nodes_truenodeids", "nodes_falsenodeids"):
                depth[place[(tree[i], of[side][i])]] = depth[i] + 1
    return float(sum(depth[leaf & (tree == t)].mean() for t in np.unique(tree)))
