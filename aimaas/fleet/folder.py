"""The folder of fleet files: each file is read separately, so a broken file does not affect the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aimaas.errors import FleetFileError
from aimaas.fleet.spec import FleetSpec, load_fleet


@dataclass(frozen=True)
class FleetFolder:
    """The fleets of the valid files, by name, and a line for each mistake in the other files."""

    fleets: Mapping[str, FleetSpec]
    broken: Mapping[Path, Sequence[str]]

    @property
    def warning(self) -> str | None:
        """One line that names the broken files; None if there are none."""
        if not self.broken:
            return None
        return f"skipped because of mistakes (`aimaas fleets validate` lists them): {', '.join(map(str, self.broken))}"


def read_folder(folder: Path, but: str | None = None) -> FleetFolder:
    """Read every `*.yaml` in a folder, except the file of the fleet `but`. No content of a file makes it raise."""
    fleets, broken = dict[str, FleetSpec](), dict[Path, Sequence[str]]()
    for path in sorted(folder.glob("*.yaml")):
        if path.stem == but:
            continue
        try:
            spec = load_fleet(path)
        except FleetFileError as e:
            broken[path] = e.mistakes
            continue
        if wrong := other_name(path, spec):
            broken[path] = [wrong]
        else:
            fleets[spec.fleet] = spec
    return FleetFolder(fleets, broken)


def other_name(path: Path, spec: FleetSpec) -> str | None:
    """A line if the file does not have the name of its fleet, because commands would not find it."""
    if spec.fleet == path.stem:
        return None
    return f"{path}: fleet: found {spec.fleet!r}, allowed {path.stem!r}, the name of the file"


def unusable_crons(path: Path, schedule: Mapping[str, Any]) -> list[str]:
    """A line for each cron expression in `schedule` that has five fields, but that Airflow cannot use."""
    from croniter import croniter

    given = {key: text for key in ("ingest", "train") if isinstance(text := schedule.get(key), str)}
    wrong = {key: text for key, text in given.items() if len(text.split()) == 5 and not croniter.is_valid(text)}
    return [f"{path}: schedule.{key}: found {text!r}, allowed is a cron expression" for key, text in wrong.items()]
