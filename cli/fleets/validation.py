"""`aimaas fleets validate`: the mistakes of a fleet file that any stage would refuse."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from aimaas.errors import FleetFileError
from aimaas.fleet import FleetSpec, load_fleet
from aimaas.fleet.folder import other_name, unusable_crons
from aimaas.fleet.yaml_reader import read_fleet_yaml


def mistakes_of(path: Path, folder: Path) -> tuple[FleetSpec | None, list[str]]:
    """Return the fleet of a file (None if it cannot be read) and a line for each mistake. `folder` is AIMAAS_FLEETS."""
    try:
        spec = load_fleet(path)
    except FleetFileError as e:
        return None, [*e.mistakes, *_of_a_broken_file(path)]
    misnamed = other_name(path, spec) if path.absolute().parent == folder.absolute() else None
    crons = unusable_crons(path, spec.schedule.model_dump())
    return spec, [*crons, *_candidates(path, spec), *([misnamed] if misnamed else [])]


def _of_a_broken_file(path: Path) -> list[str]:
    """Return the mistakes that other stages would find in the readable parts of a file that has mistakes."""
    try:
        found, _ = read_fleet_yaml(path)
    except FleetFileError:
        return []
    schedule, stand_in = found.get("schedule"), _stand_in(found)
    crons = unusable_crons(path, schedule) if isinstance(schedule, dict) else []
    return [*crons, *(_candidates(path, stand_in) if stand_in else [])]


def _candidates(path: Path, spec: FleetSpec) -> list[str]:
    """Return the mistakes of the candidates, which only training can judge."""
    from models.families.candidates import candidate_mistakes

    known_as = f"fleets/{spec.fleet}.yaml: "
    return [f"{path}: {line.removeprefix(known_as)}" for line in candidate_mistakes(spec)]


def _stand_in(found: Mapping[str, Any]) -> FleetSpec | None:
    """Return a valid fleet with the task and the candidates of a file that has mistakes; None if these cannot be read."""
    try:
        fleet: dict[str, Any] = {
            "fleet": "fleet",
            "version": 1,
            "sensors": {"x": {"name": "x", "unit": "1", "range": [0, 1]}},
            "features": {"windows": [2]},
            "task": found["task"],
            "training": {"candidates": found["training"]["candidates"]},
        }
        return FleetSpec.model_validate(fleet)
    except (ValidationError, LookupError, TypeError):
        return None
