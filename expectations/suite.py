"""Expectations derived from the fleet file, and the hand-written ones that stand beside it.

Severity decides: a failing `critical` expectation stops the run, a `warning` is shown in Data Docs and the task's log.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml

from aimaas.errors import FleetFileError
from aimaas.fleet import FleetSpec

Table = Literal["silver", "gold"]
Severity = Literal["critical", "warning"]
Kwargs = dict[str, Any]
Expected = tuple[str, Kwargs, Severity]
"""GX's own name of an expectation in snake case, its keyword arguments, its severity."""

SPLITS = ("train", "validation", "calibration", "test")
_HAND_WRITTEN_KEYS = {"type", "kwargs", "severity"}


def derived(fleet: FleetSpec, table: Table) -> list[Expected]:
    """Return what the fleet file alone says about the rows of a table."""
    return [*_order(), *_readings(fleet), *(_gold(fleet) if table == "gold" else [])]


def derived_of_run(fleet: FleetSpec) -> list[Expected]:
    """Return what the fleet file says about one run as a whole, which `expectations.gate` describes in one row."""
    share = {"column": "refused_share", "min_value": 0, "max_value": fleet.quality.refused_share}
    return [("expect_column_values_to_be_between", share, "critical")]


def hand_written(fleets: Path, fleet: FleetSpec, table: Table) -> list[Expected]:
    """Read `<fleets>/expectations/<fleet>_<table>.yaml`, a list of GX expectations; none where there is no file.

    An entry has `type` and `kwargs` as GX names them, and `severity` (critical or warning, default critical). Raises
    FleetFileError with one line for each mistake.
    """
    path = fleets / "expectations" / f"{fleet.fleet}_{table}.yaml"
    if not path.is_file():
        return []
    found = yaml.safe_load(path.read_text(encoding="utf-8")) or []
    if not isinstance(found, list):
        raise FleetFileError([f"{path}: holds {type(found).__name__}, allowed is a list of expectations"])
    mistakes = [line for i, entry in enumerate(found) if (line := _mistake(path, i, entry))]
    if mistakes:
        raise FleetFileError(mistakes)
    return [(e["type"], e.get("kwargs", {}), e.get("severity", "critical")) for e in found]


def _order() -> list[Expected]:
    keys = ["device_id", "run", "order"]
    present: list[Expected] = [
        ("expect_column_values_to_not_be_null", {"column": key}, "critical") for key in (*keys, "ts")
    ]
    unique: Expected = ("expect_compound_columns_to_be_unique", {"column_list": keys}, "critical")
    return [("expect_table_row_count_to_be_between", {"min_value": 1}, "critical"), *present, unique]


def _readings(fleet: FleetSpec) -> list[Expected]:
    rules: list[Expected] = []
    for name, reading in zip(fleet.readings, fleet.reading_specs, strict=True):
        low, high = reading.range
        complete = 1.0 - fleet.quality.null_share if reading.nullable else 1.0
        rules.append(("expect_column_values_to_not_be_null", {"column": name, "mostly": complete}, "critical"))
        between = {"column": name, "min_value": low, "max_value": high}
        rules.append(("expect_column_values_to_be_between", between, "critical"))
    return rules


def _gold(fleet: FleetSpec) -> list[Expected]:
    return [
        ("expect_column_values_to_be_in_set", {"column": "split", "value_set": list(SPLITS)}, "critical"),
        ("expect_column_values_to_not_be_null", {"column": "split"}, "critical"),
        # few devices may leave a part empty: training then says what is missing
        ("expect_column_distinct_values_to_contain_set", _declared_splits(fleet), "warning"),
    ]


def _declared_splits(fleet: FleetSpec) -> Kwargs:
    return {"column": "split", "value_set": [name for name in SPLITS if getattr(fleet.split, name) > 0]}


def _mistake(path: Path, index: int, entry: object) -> str | None:
    where = f"{path}: entry {index + 1}"
    if not isinstance(entry, dict) or not isinstance(entry.get("type"), str):
        return f"{where}: found {entry!r}, allowed: a mapping with type, kwargs and severity"
    if unknown := sorted(set(entry) - _HAND_WRITTEN_KEYS):
        return f"{where}: unknown key {unknown[0]!r}, allowed: {', '.join(sorted(_HAND_WRITTEN_KEYS))}"
    if entry.get("severity", "critical") not in ("critical", "warning"):
        return f"{where}: severity: found {entry['severity']!r}, allowed: critical, warning"
    return None
