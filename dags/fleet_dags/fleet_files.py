"""The fleet files as the DAG files see them: each one read for itself."""

from __future__ import annotations

from aimaas.fleet import FleetSpec
from aimaas.fleet_folder import read_folder, unusable_crons
from aimaas.settings import read_settings


def readable_fleets() -> list[FleetSpec]:
    """Return the fleets whose files have no mistake, by name."""
    return _read_all()[0]


def broken_fleets() -> list[str]:
    """Return one line for each mistake in each fleet file: file, key, what was found, what is allowed."""
    return _read_all()[1]


def _read_all() -> tuple[list[FleetSpec], list[str]]:
    """Return the fleets and the mistakes; an unusable cron expression would take the other fleets' DAGs along."""
    folder = read_settings().fleets
    found = read_folder(folder)
    crons = {
        spec.fleet: unusable_crons(folder / f"{spec.fleet}.yaml", spec.schedule.model_dump())
        for spec in found.fleets.values()
    }
    mistakes = [line for lines in (*found.broken.values(), *crons.values()) for line in lines]
    return [spec for spec in found.fleets.values() if not crons[spec.fleet]], mistakes
