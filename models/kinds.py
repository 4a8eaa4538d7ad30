"""What a model says: the task, its unit, cap and horizon. Errors of models that say different things are never compared."""

from __future__ import annotations

from aimaas.artefact import ModelMetadata


def kind_of(metadata: ModelMetadata) -> str:
    """What a model says, in words; two models of one kind have the same words."""
    if metadata.task == "remaining_useful_life":
        return f"remaining useful life in {metadata.unit}, capped at {metadata.target_range[1]:g}"
    within = f"within {metadata.horizon[0]:g} {metadata.horizon[1]}" if metadata.horizon else "within a horizon"
    return f"probability of a failure {within}"


def differ(first: ModelMetadata, second: ModelMetadata) -> bool:
    """Whether two models are of different kinds; a model made before horizons were kept counts as of any horizon."""
    if first.task == second.task == "failure_within" and (first.horizon is None or second.horizon is None):
        return False
    return kind_of(first) != kind_of(second)
