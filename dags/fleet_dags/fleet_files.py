"""Reads the fleet files for the DAG files, each on its own."""

from __future__ import annotations

from aimaas.fleet import FleetSpec
from aimaas.fleet.folder import read_folder, unusable_crons
from aimaas.settings import read_settings


def readable_fleets() -> list[FleetSpec]:
    """Return the fleets whose files have no mistakes, in the order of their names."""
    return _read_all()[0]


def broken_fleets() -> list[str]:
    """Return one line for each mistake in each fleet file: file, key, found value, allowed values."""
    return _read_all()[1]


def _read_all() -> tuple[list[FleetSpec], list[str]]:
    """Return the fleets and the mistakes. A cron expression that Airflow cannot use would hide the DAGs of all fleets."""
    folder = read_settings().fleets
    found = read_folder(folder)
    crons = {
        spec.fleet: unusable_crons(folder / f"{spec.fleet}.yaml", spec.schedule.model_dump())
        for spec in found.fleets.values()
    }
    mistakes = [line for lines in (*found.broken.values(), *crons.values()) for line in lines]
    return [spec for spec in found.fleets.values() if not crons[spec.fleet]], mistakes
