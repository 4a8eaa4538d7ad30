"""Expectations that follow from the fleet file, and the hand-written ones beside the fleet file.

The severity decides what happens to failing rows. `critical` stops the run if their share exceeds the limit (`mostly`).
`quarantine` does so too, and sets the rows aside within the limit. A `warning` appears in Data Docs and in the task's log.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import yaml

from aimaas.errors import FleetFileError
from aimaas.fleet import FleetSpec
from expectations.sensors import CLOCK_BACK, SHIFTED, STUCK

Table = Literal["silver", "gold"]
Severity = Literal["critical", "quarantine", "warning"]
Kwargs = dict[str, Any]
Expected = tuple[str, Kwargs, Severity]
"""GX's own name of an expectation in snake case, its keyword arguments, its severity."""

SEVERITIES = ("critical", "quarantine", "warning")

ANY_ROWS: Expected = ("expect_table_row_count_to_be_between", {"min_value": 1}, "critical")
"""On a table as a whole, for the first gate only: later, only an outcome or a compaction may have come since the last gate."""

_CLOCK_BACK = 0.01  # share of rows; no rule on a single row can check it
SPLITS = ("train", "validation", "calibration", "test")
_HAND_WRITTEN_KEYS = {"type", "kwargs", "severity"}


def derived(fleet: FleetSpec, table: Table) -> list[Expected]:
    """The expectations on rows of a table that follow from the fleet file alone."""
    return [*_order(), *_readings(fleet, table), *(_gold() if table == "gold" else [])]


def derived_of_run(fleet: FleetSpec) -> list[Expected]:
    """The expectations on one run as a whole, which `expectations.gate` describes in one row."""
    share = {"column": "refused_share", "min_value": 0, "max_value": fleet.quality.refused_share}
    return [("expect_column_values_to_be_between", share, "critical")]


def derived_of_windows(fleet: FleetSpec) -> list[Expected]:
    """The expectations on sensors over many rows, whose shares `expectations.sensors` computes."""
    limits = {STUCK: fleet.quality.stuck_share, SHIFTED: fleet.quality.shifted_share}
    of_sensors = {f"{name}_{what}": most for name in fleet.sensors for what, most in limits.items()}
    return [
        ("expect_column_values_to_be_between", {"column": column, "min_value": 0, "max_value": most}, "warning")
        for column, most in {**of_sensors, CLOCK_BACK: _CLOCK_BACK}.items()
    ]


def of_few_rows(suite: Sequence[Expected]) -> list[Expected]:
    """The suite for too few rows to judge a share: an expectation that allows some failing rows stops nothing."""
    return [_of_few_rows(expected) for expected in suite]


def warning_only(suite: Sequence[Expected]) -> list[Expected]:
    """The suite with every failure as a warning."""
    return [(kind, kwargs, "warning") for kind, kwargs, _ in suite]


def columns_of(expected: Expected) -> list[str]:
    """The columns that an expectation names, in the order of its arguments."""
    named = [value for key, value in expected[1].items() if key.startswith("column")]
    return [name for value in named for name in ([value] if isinstance(value, str) else value)]


def _of_few_rows(expected: Expected) -> Expected:
    kind, kwargs, severity = expected
    if kwargs.get("mostly", 1.0) == 1.0 or severity == "warning":
        return expected
    return (kind, kwargs | {"mostly": 0.0}, severity) if severity == "quarantine" else (kind, kwargs, "warning")


def hand_written(fleets: Path, fleet: FleetSpec, table: Table) -> list[Expected]:
    """Read `<fleets>/expectations/<fleet>_<table>.yaml`, a list of GX expectations; an empty list if there is no file.

    An entry has `type` and `kwargs` as GX names them, and `severity` (default critical). The limit of severity `quarantine` is
    `quality.refused_share` of the fleet file, unless the entry has its own `mostly`. Raises FleetFileError with one line for each
    mistake.
    """
    path = fleets / "expectations" / f"{fleet.fleet}_{table}.yaml"
    if not path.is_file():
        return []
    found = yaml.safe_load(path.read_text(encoding="utf-8")) or []
    if not isinstance(found, list):
        raise FleetFileError([f"{path}: found {type(found).__name__}, allowed: a list of expectations"])
    mistakes = [line for i, entry in enumerate(found) if (line := _mistake(path, i, entry, table))]
    if mistakes:
        raise FleetFileError(mistakes)
    return [_expected(fleet, entry) for entry in found]


def _expected(fleet: FleetSpec, entry: dict[str, Any]) -> Expected:
    severity: Severity = entry.get("severity", "critical")
    kwargs = entry.get("kwargs", {})
    usual = {"mostly": 1.0 - fleet.quality.refused_share} if severity == "quarantine" else {}
    return entry["type"], usual | kwargs, severity


def _order() -> list[Expected]:
    keys = ["device_id", "run", "order"]
    present: list[Expected] = [
        ("expect_column_values_to_not_be_null", {"column": key}, "critical") for key in (*keys, "ts")
    ]
    unique: Expected = ("expect_compound_columns_to_be_unique", {"column_list": keys}, "critical")
    return [*present, unique]


def _readings(fleet: FleetSpec, table: Table) -> list[Expected]:
    """Ranges and nulls. Nulls of a nullable reading are checked per run in silver only: older rows of gold may lack the reading."""
    rules: list[Expected] = []
    for name, reading in zip(fleet.readings, fleet.reading_specs, strict=True):
        low, high = reading.range
        complete = 1.0 - fleet.quality.null_share if reading.nullable else 1.0
        if table == "silver" or not reading.nullable:
            rules.append(("expect_column_values_to_not_be_null", {"column": name, "mostly": complete}, "critical"))
        between = {"column": name, "min_value": low, "max_value": high}
        rules.append(("expect_column_values_to_be_between", between, "critical"))
    return rules


def _gold() -> list[Expected]:
    return [
        ("expect_column_values_to_be_in_set", {"column": "split", "value_set": list(SPLITS)}, "critical"),
        ("expect_column_values_to_not_be_null", {"column": "split"}, "critical"),
    ]


def _mistake(path: Path, index: int, entry: object, table: Table) -> str | None:
    where = f"{path}: entry {index + 1}"
    if not isinstance(entry, dict) or not isinstance(entry.get("type"), str):
        return f"{where}: found {entry!r}, allowed: a mapping with type, kwargs and severity"
    if unknown := sorted(set(entry) - _HAND_WRITTEN_KEYS):
        return f"{where}: unknown key {unknown[0]!r}, allowed: {', '.join(sorted(_HAND_WRITTEN_KEYS))}"
    severity = entry.get("severity", "critical")
    if severity not in SEVERITIES:
        return f"{where}: severity: found {severity!r}, allowed: {', '.join(SEVERITIES)}"
    if severity == "quarantine" and table != "silver":
        return f"{where}: severity: found 'quarantine', allowed for {table}: critical, warning; rows are set aside in silver"
    return None
