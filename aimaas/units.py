"""Which unit a prediction has: a time has the task's, a probability has none."""

from __future__ import annotations

DIMENSIONLESS = "1"


def prediction_unit(task: str, unit: str) -> str:
    """The unit of predictions of a task (its `kind`), one step of which is in `unit`."""
    return DIMENSIONLESS if task == "failure_within" else unit
