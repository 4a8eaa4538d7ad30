"""The fleet files as the DAG files see them: each one read for itself."""

from __future__ import annotations

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
    return spec
