"""The kind of a model: the task, its unit, cap and horizon. Errors of models of different kinds are never compared."""

from __future__ import annotations

from aimaas.model.artefact import ModelMetadata


def kind_of(metadata: ModelMetadata) -> str:
    """Return the kind of a model in words; two models of one kind have the same words."""
    if metadata.task == "remaining_useful_life":
        return f"remaining useful life in {metadata.unit}, capped at {metadata.target_range[1]:g}"
    within = f"within {metadata.horizon[0]:g} {metadata.horizon[1]}" if metadata.horizon else "within a horizon"
    return f"probability of a failure {within}"


def differ(first: ModelMetadata, second: ModelMetadata) -> bool:
    """Return whether two models are of different kinds; a model without a stored horizon matches any horizon."""
    if first.task == second.task == "failure_within" and (first.horizon is None or second.horizon is None):
        return False
    return kind_of(first) != kind_of(second)
