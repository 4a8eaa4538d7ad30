"""The unit of a prediction: a time has the task's unit, a probability has none."""

from __future__ import annotations

DIMENSIONLESS = "1"
SECONDS_PER_UNIT = {
    "seconds": 1.0,
    "minutes": 60.0,
    "hours": 3_600.0,
    "days": 86_400.0,
}  # units of a task with order: ts


def prediction_unit(task: str, unit: str) -> str:
    """The unit of the predictions of a task (its `kind`) with steps in `unit`."""
    return DIMENSIONLESS if task == "failure_within" else unit
