"""The target of the fleet's task."""

from __future__ import annotations

from aimaas.fleet import FailureWithin, FleetSpec


def target_range(fleet: FleetSpec) -> tuple[float, float]:
    """Return the lowest and the highest value that the fleet's target can take."""
    return (0.0, 1.0) if isinstance(fleet.task, FailureWithin) else (0.0, fleet.task.cap)
