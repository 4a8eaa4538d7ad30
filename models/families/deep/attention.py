"""A small Transformer encoder (Vaswani et al. 2017, with the norms before each part as in Xiong et al. 2020)."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from models.families.deep.encoders import SeededDropout, values_of
from models.families.deep.layout import Layout
from models.families.onnx_graph import Graph


class Attention(nn.Module):  # type: ignore[misc]
    """Self-attention of `heads` heads over the rows of a window (n, W, D)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.into, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.heads, self.scale = heads, (width // heads) ** -0.5

    def forward(self, x: Any) -> Any:
        """Each row (n, W, D) as a mean of all rows, weighted by how alike they are."""
        parts = self.into(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = parts.unbind(0)
        weights = torch.softmax(query @ key.transpose(-1, -2) * self.scale, -1)
        return self.out((weights @ value).transpose(1, 2).flatten(2))

    def emit(self, graph: Graph, x: str, rows: int) -> str:
        """Lay the same computation into ONNX."""
        width = self.out.in_features
        shape = graph.integers(0, rows, 3, self.heads, width // self.heads)
        parts = graph.add("Transpose", graph.add("Reshape", linear(graph, self.into, x), shape), perm=[2, 0, 3, 1, 4])
        query, key, value = (graph.add("Gather", parts, graph.constant(i, "int64"), axis=0) for i in range(3))
        alike = graph.add("MatMul", query, graph.add("Transpose", key, perm=[0, 1, 3, 2]))
        weights = graph.add("Softmax", graph.add("Mul", alike, graph.constant(self.scale)), axis=-1)
        mixed = graph.add("Transpose", graph.add("MatMul", weights, value), perm=[0, 2, 1, 3])
        return linear(graph, self.out, graph.add("Reshape", mixed, graph.integers(0, rows, width)))


class Block(nn.Module):  # type: ignore[misc]
    """Attention, then a layer of twice the width for each row by itself; each adds its output to its input."""

    def __init__(self, width: int, heads: int, dropout: SeededDropout) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.wide, self.narrow = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.dropout = dropout

    def forward(self, x: Any) -> Any:
        """Transform rows (n, W, D) to rows (n, W, D)."""
        x = x + self.dropout(self.attention(self.first(x)))
        return x + self.dropout(self.narrow(torch.relu(self.wide(self.second(x)))))

    def emit(self, graph: Graph, x: str, rows: int) -> str:
        """Lay the same computation into ONNX."""
        x = graph.add("Add", x, self.attention.emit(graph, norm(graph, self.first, x), rows))
        wide = graph.add("Relu", linear(graph, self.wide, norm(graph, self.second, x)))
        return graph.add("Add", x, linear(graph, self.narrow, wide))


class Transformer(nn.Module):  # type: ignore[misc]
    """Blocks over the rows, each with a learned place in time; the encoding is the mean of the rows beside the last."""

    def __init__(self, layout: Layout, width: int, heads: int, layers: int, dropout: float, seed: int) -> None:
        super().__init__()
        self.into = nn.Linear(layout.channels, width)
        self.places = nn.Parameter(torch.randn(layout.rows, width) * 0.02)
        shared = SeededDropout(dropout, seed)
        self.blocks = nn.ModuleList(Block(width, heads, shared) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.rows, self.width = layout.rows, 2 * width

    def forward(self, window: Any) -> Any:
        """Encoding (n, E) of the window (n, W, C)."""
        x = self.into(window) + self.places
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return torch.cat([x.mean(1), x[:, -1]], 1)

    def emit(self, graph: Graph, window: str) -> str:
        """Lay the same computation into ONNX."""
        x = graph.add("Add", linear(graph, self.into, window), graph.constant(values_of(self.places)))
        for block in self.blocks:
            x = block.emit(graph, x, self.rows)
        x = norm(graph, self.norm, x)
        mean = graph.add("ReduceMean", x, axes=[1], keepdims=0)
        return graph.add("Concat", mean, graph.add("Gather", x, graph.constant(-1, "int64"), axis=1), axis=1)


def linear(graph: Graph, layer: Any, x: str) -> str:
    """Lay a linear layer in ONNX, along the last axis."""
    return graph.add(
        "Add",
        graph.add("MatMul", x, graph.constant(values_of(layer.weight).T)),
        graph.constant(values_of(layer.bias)),
    )


def norm(graph: Graph, layer: Any, x: str) -> str:
    """Lay a layer norm in ONNX."""
    weights = [graph.constant(values_of(p)) for p in (layer.weight, layer.bias)]
    return graph.add("LayerNormalization", x, *weights, axis=-1, epsilon=layer.eps)
