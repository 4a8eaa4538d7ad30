"""Reads a mapping file: every mistake becomes one line with file, key, the found value, and the allowed values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from aimaas.fleet import FleetSpec
from aimaas.fleet.mistakes import mistake_lines
from stream.replay.mapping.schema import Mapping, ReplayError

_RESOLVED = ("tag:yaml.org,2002:null", "tag:yaml.org,2002:merge")


class _AsWritten(yaml.SafeLoader):
    """Reads YAML scalars as text: `0012` is no octal number, `no` is no truth value. An empty one is null."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - of the loader's class
        first: [r for r in resolvers if r[0] in _RESOLVED]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Construct the mapping. A repeated key is a mistake, because only the last one would count."""
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(None, None, f"key {twice!r} is given twice", node.start_mark)
        return super().construct_mapping(node, deep)


def load_mapping(path: Path, fleet: FleetSpec) -> Mapping:
    """Read a mapping file for `fleet`. Raises ReplayError with one line for each mistake."""
    try:
        mapping = Mapping.model_validate(_read(path))
    except OSError as e:
        raise ReplayError(f"{path}: cannot be read ({e.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as e:
        raise ReplayError(f"{path}: not valid YAML ({' '.join(str(e).split())})") from None
    except ValidationError as e:
        raise ReplayError("\n".join(mistake_lines(path, e.errors()))) from None
    wrong = _misfits(mapping, fleet)
    if wrong:
        raise ReplayError("\n".join(f"{path}: {line}" for line in wrong))
    return mapping


def _read(path: Path) -> Any:
    return yaml.load(path.read_text(encoding="utf-8"), _AsWritten)  # noqa: S506 - a SafeLoader


def _misfits(mapping: Mapping, fleet: FleetSpec) -> list[str]:
    """Yield the contradictions between the mapping and the fleet file."""
    lines = []
    if mapping.fleet != fleet.fleet:
        lines.append(f"fleet: found {mapping.fleet!r}, but the command sends events of fleet {fleet.fleet!r}")
    lines += [f"readings.{n}: missing, must be given" for n in fleet.readings if n not in mapping.readings]
    known = ", ".join(fleet.readings)
    lines += [
        f"readings.{n}: fleet {fleet.fleet} has no such reading; it has {known}"
        for n in mapping.readings
        if n not in fleet.readings
    ]
    return [*lines, *_wrong_units(mapping, fleet), *_wrong_orders(mapping, fleet)]


def _wrong_units(mapping: Mapping, fleet: FleetSpec) -> list[str]:
    """Yield readings whose declared unit differs from the fleet's and is not converted."""
    lines = []
    for name, spec in zip(fleet.readings, fleet.reading_specs, strict=True):
        source = mapping.readings.get(name)
        if source and source.unit not in (None, spec.unit) and (source.scale, source.offset) == (1.0, 0.0):
            lines.append(
                f"readings.{name}.unit: found {source.unit!r}, but fleet {fleet.fleet} has {spec.unit!r}: give scale or offset"
            )
    return lines


def _wrong_orders(mapping: Mapping, fleet: FleetSpec) -> list[str]:
    """Yield keys that the fleet's order requires, or does not know."""
    lines = []
    if fleet.order == "ts" and mapping.ts is None:
        lines.append(f"ts: missing, must be given, because fleet {fleet.fleet} is ordered by time")
    if fleet.order == "ts" and mapping.outcome.observed:
        lines.append("outcome.observed: needs a fleet with order: seq; give last_row: retired")
    if mapping.outcomes and getattr(mapping.outcomes, fleet.order) is None:
        lines.append(f"outcomes.{fleet.order}: missing, must be given, because fleet {fleet.fleet} is ordered by it")
    if mapping.outcomes and mapping.run and mapping.outcomes.run is None:
        lines.append("outcomes.run: missing, must be given, because the telemetry has runs")
    if mapping.outcomes and mapping.ts and mapping.outcomes.ts is None:
        lines.append("outcomes.ts: missing, must be given, because the telemetry has times")
    return lines
