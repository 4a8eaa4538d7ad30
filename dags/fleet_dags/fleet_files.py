"""The fleet files as the DAG files see them: each one read for itself."""

from __future__ import annotations

from pathlib import Path

from croniter import croniter

from aimaas.errors import FleetFileError
from aimaas.fleet import FleetSpec, load_fleet
from aimaas.settings import read_settings


def readable_fleets() -> list[FleetSpec]:
    """Return the fleets whose files have no mistake, by name."""
    return [found for found in _read_all().values() if isinstance(found, FleetSpec)]


def broken_fleets() -> list[str]:
    """Return one line for each mistake in each fleet file: file, key, what was found, what is allowed."""
    return [line for found in _read_all().values() if not isinstance(found, FleetSpec) for line in found]


def _read_all() -> dict[str, FleetSpec | list[str]]:
    folder = read_settings().fleets
    return {path.stem: _read(path.stem) for path in sorted(folder.glob("*.yaml"))}


def _read(name: str) -> FleetSpec | list[str]:
    path = read_settings().fleets / f"{name}.yaml"
    try:
        spec = load_fleet(path)
    except FleetFileError as problem:
        return problem.mistakes
    if spec.fleet != name:
        return [f"{path}: fleet: found {spec.fleet!r}, allowed {name!r}, the file's own name"]
    return _crons(path, spec) or spec


def _crons(path: Path, spec: FleetSpec) -> list[str]:
    """Return a mistake for each cron expression that Airflow could not use: it would take the other fleets' DAGs along."""
    given = {"ingest": spec.schedule.ingest, "train": spec.schedule.train}
    wrong = {key: text for key, text in given.items() if not croniter.is_valid(text)}
    return [f"{path}: schedule.{key}: found {text!r}, allowed is a cron expression" for key, text in wrong.items()]
