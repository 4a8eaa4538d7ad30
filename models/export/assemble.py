"""One ONNX graph for a model that skl2onnx does not know, or for several models that read different parts of the kernel's row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from aimaas.model.artefact import INPUT
from models.families.onnx_graph import Graph
from models.families.scikit import Estimator
from models.families.vector_only import VectorOnly, members_of

Convert = Callable[[Estimator, int], tuple[Any, str]]


def is_laid_by_hand(estimator: Estimator) -> bool:
    """Return whether skl2onnx cannot convert an estimator: it reads the window too, or a part of it lays its own nodes (`emit`)."""
    return any(isinstance(m, VectorOnly) or hasattr(m, "emit") for m in _leaves(estimator))


def assemble(estimator: Estimator, width: int, opsets: Mapping[str, int], convert: Convert) -> tuple[Any, str]:
    """Return the graph for rows of `width` features and the name of its (n, 1) answer; `convert` converts scikit-learn's models."""
    graph = Graph(INPUT, width)
    answer = _part(graph, estimator, convert)
    return graph.model(answer, opsets), answer


def _part(graph: Graph, estimator: Estimator, convert: Convert) -> str:
    if isinstance(estimator, VectorOnly):
        model, answer = convert(estimator.inner, estimator.width)
        return graph.include(model, estimator.width, answer)
    if hasattr(estimator, "emit"):
        return str(estimator.emit(graph))
    if not hasattr(estimator, "named_estimators"):
        model, answer = convert(estimator, graph.width)
        return graph.include(model, graph.width, answer)
    parts = [_part(graph, member, convert) for member in estimator.estimators_]
    if estimator.weights is None:
        return graph.add("Mean", *parts)
    shares = estimator.weights / np.sum(estimator.weights)
    return graph.add("Sum", *(graph.add("Mul", p, graph.constant([[s]])) for p, s in zip(parts, shares, strict=True)))


def _leaves(estimator: Estimator) -> list[Estimator]:
    members = members_of(estimator)
    return members if members == [estimator] else [leaf for m in members for leaf in _leaves(m)]
