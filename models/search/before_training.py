"""The search that a fleet file asks for before each training."""

from __future__ import annotations

from pathlib import Path

from aimaas.fleet import FleetSpec
from aimaas.settings import Settings


def searched(settings: Settings, fleet: FleetSpec, training_set: Path) -> FleetSpec:
    """The fleet with the best settings found where its file asks for a search, else as it is."""
    asked = fleet.training.search
    if not (asked.trials or asked.minutes):
        return fleet
    from models.candidates import with_candidates
    from models.search.run import Budget, search

    found = search(settings, fleet, training_set, Budget(asked.trials or None, asked.minutes or None, asked.workers))
    return with_candidates(fleet, {**fleet.training.candidates, **found.better()})
