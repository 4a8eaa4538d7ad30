"""The whole network, from the kernel's row to the prediction. The trained network is also the exported one."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from models.families.deep.attention import linear
from models.families.deep.encoders import SeededDropout, values_of
from models.families.deep.layout import Layout
from models.families.onnx_graph import Graph

# deviations; values farther out are clipped, so that one broken sensor neither drowns the others nor breaks parity
_REACH = 10.0
_HIDDEN = 64


class SequenceNetwork(nn.Module):  # type: ignore[misc]
    """An encoder of the window, joined by the standardised feature vector, then one hidden layer and the answer (n, 1).

    `mean` and `scale` (V,) standardise the vector. The answer is `shift + stretch * network`: 0 and 1 while it is trained on
    standardised targets, then their mean and deviation.
    """

    def __init__(self, layout: Layout, encoder: Any, vectors: Any, dropout: float, seed: int) -> None:
        super().__init__()
        deviation = vectors.std(axis=0, dtype=np.float64)
        scale = np.where(deviation > 1e-9, 1 / np.maximum(deviation, 1e-9), 0.0)
        for name, values in (("mean", vectors.mean(axis=0, dtype=np.float64)), ("scale", scale)):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32))
        for name, value in (("shift", 0.0), ("stretch", 1.0)):
            self.register_buffer(name, torch.tensor(value))
        self.layout, self.encoder = layout, encoder
        self.hidden = nn.Linear(encoder.width + layout.vector, _HIDDEN)
        self.dropout = SeededDropout(dropout, seed + 1)
        self.answer = nn.Linear(_HIDDEN, 1)

    def forward(self, features: Any) -> Any:
        """Answers (n, 1) to features (n, F)."""
        vector = ((features[:, : self.layout.vector] - self.mean) * self.scale).clamp(-_REACH, _REACH)
        window = features[:, self.layout.vector :].unflatten(1, (self.layout.rows, self.layout.channels))
        encoded = torch.cat([self.encoder(window.clamp(-_REACH, _REACH)), vector], 1)
        return self.answer(self.dropout(torch.relu(self.hidden(encoded)))) * self.stretch + self.shift

    def emit(self, graph: Graph) -> str:
        """Lay the network into the graph; the name of its answer (n, 1)."""
        limits = [graph.constant(limit) for limit in (-_REACH, _REACH)]
        layout, vector = self.layout, graph.columns(0, self.layout.vector)
        vector = graph.add("Sub", vector, graph.constant(values_of(self.mean)))
        vector = graph.add("Mul", vector, graph.constant(values_of(self.scale)))
        window = graph.add(
            "Reshape", graph.columns(layout.vector, graph.width), graph.integers(-1, layout.rows, layout.channels)
        )
        encoded = self.encoder.emit(graph, graph.add("Clip", window, *limits))
        joined = graph.add("Concat", encoded, graph.add("Clip", vector, *limits), axis=1)
        answer = linear(graph, self.answer, graph.add("Relu", linear(graph, self.hidden, joined)))
        answer = graph.add("Mul", answer, graph.constant(values_of(self.stretch)))
        return graph.add("Add", answer, graph.constant(values_of(self.shift)))
