"""Fleets whose devices may lie in any partition, for tests that put them all into one."""

from __future__ import annotations

from aimaas.fleet import FleetSpec


def anywhere(fleet: FleetSpec) -> FleetSpec:
    """The fleet with `topics.partitioner: any`."""
    return fleet.model_copy(update={"topics": fleet.topics.model_copy(update={"partitioner": "any"})})
