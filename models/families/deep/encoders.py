"""The part of a network that turns the window (n, W, C) into an encoding (n, E): convolutions, recurrent layers, or attention.

Each encoder has `forward` for PyTorch and `emit`, which lays the same computation into an ONNX graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from models.families.deep.layout import Layout
from models.families.onnx_graph import Graph


class SeededDropout(nn.Module):  # type: ignore[misc]
    """Dropout with a generator of its own: networks that are trained in parallel share PyTorch's, in no fixed order."""

    def __init__(self, share: float, seed: int) -> None:
        super().__init__()
        self.share, self.generator = share, torch.Generator().manual_seed(seed)

    def forward(self, x: Any) -> Any:
        """Set the share of x to 0 while training; x itself otherwise."""
        if not self.training or not self.share:
            return x
        kept = torch.rand(x.shape, generator=self.generator) >= self.share
        return x * kept / (1 - self.share)


class Convolutions(nn.Module):  # type: ignore[misc]
    """Layers of convolutions along time with ReLU; the encoding is their mean over time beside their last row."""

    def __init__(self, layout: Layout, channels: Sequence[int], kernel: int, dropout: float, seed: int) -> None:
        super().__init__()
        sizes = [layout.channels, *channels]
        self.layers = nn.ModuleList(nn.Conv1d(a, b, kernel, padding="same") for a, b in pairwise(sizes))
        self.dropout = SeededDropout(dropout, seed)
        self.padding, self.width = ((kernel - 1) // 2, kernel // 2), 2 * sizes[-1]

    def forward(self, window: Any) -> Any:
        """Encoding (n, E) of the window (n, W, C)."""
        x = window.transpose(1, 2)
        for layer in self.layers:
            x = self.dropout(torch.relu(layer(x)))
        return torch.cat([x.mean(2), x[:, :, -1]], 1)

    def emit(self, graph: Graph, window: str) -> str:
        """Lay the same computation into ONNX."""
        x = graph.add("Transpose", window, perm=[0, 2, 1])
        for layer in self.layers:
            weights = [graph.constant(values_of(p)) for p in (layer.weight, layer.bias)]
            x = graph.add("Relu", graph.add("Conv", x, *weights, pads=list(self.padding)))
        mean = graph.add("ReduceMean", x, axes=[2], keepdims=0)
        last = graph.add("Gather", x, graph.constant(-1, "int64"), axis=2)
        return graph.add("Concat", mean, last, axis=1)


class Recurrent(nn.Module):  # type: ignore[misc]
    """Layers of LSTM or GRU cells; the encoding is the state after the last row."""

    def __init__(self, layout: Layout, kind: str, units: int, layers: int, dropout: float, seed: int) -> None:
        super().__init__()
        cell = nn.LSTM if kind == "lstm" else nn.GRU
        self.layers = nn.ModuleList(
            cell(layout.channels if i == 0 else units, units, batch_first=True) for i in range(layers)
        )
        self.dropout, self.kind, self.width = SeededDropout(dropout, seed), kind, units

    def forward(self, window: Any) -> Any:
        """Encoding (n, E) of the window (n, W, C)."""
        x = window
        for layer in self.layers:
            x = self.dropout(layer(x)[0])
        return x[:, -1]

    def emit(self, graph: Graph, window: str) -> str:
        """Lay the same computation into ONNX.

        Its gates come in another order: i, o, f, c instead of i, f, g, o; z, r, h instead of r, z, n.
        """
        x = graph.add("Transpose", window, perm=[1, 0, 2])  # (W, n, C)
        gates = [0, 3, 1, 2] if self.kind == "lstm" else [1, 0, 2]
        options: dict[str, Any] = {} if self.kind == "lstm" else {"linear_before_reset": 1}
        for layer in self.layers:
            parts = [
                values_of(getattr(layer, f"{name}_l0")) for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            ]
            w, r, b_w, b_r = (p.reshape(len(gates), -1, *p.shape[1:])[gates].reshape(p.shape) for p in parts)
            weights = [
                graph.constant(v[None]) for v in (w, r, torch.cat([torch.tensor(b_w), torch.tensor(b_r)]).numpy())
            ]
            x = graph.add(self.kind.upper(), x, *weights, hidden_size=self.width, **options)
            x = graph.add("Squeeze", x, graph.integers(1))  # one direction
        return graph.add("Gather", x, graph.constant(-1, "int64"), axis=0)


def values_of(tensor: Any) -> Any:
    """Return a tensor's values as an array."""
    return tensor.detach().numpy()
