"""Checks that the parts of a fleet file fit together. Every mistake is reported, even if other keys are wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from aimaas.fleet.alert_rules import ANSWERS, IDENTITY, rule_mistakes, values_of
from aimaas.fleet.candidate_families import SEQUENCE_FAMILIES
from aimaas.fleet.expression import ExpressionError, compile_expression
from aimaas.fleet.units import SECONDS_PER_UNIT

_KERNEL_NAMES = re.compile(r"age|now|(mean|deviation|slope|from_first|back)_[0-9]+")  # see aimaas/kernel/features.py


def is_reserved(name: str) -> bool:
    """Whether the kernel has a feature of this name, which a reading or a derived channel would hide."""
    return _KERNEL_NAMES.fullmatch(name) is not None


def inconsistencies(found: Mapping[str, Any]) -> list[str]:
    """A line for each mistake in the YAML data of a fleet file: the key and the mistake. Parts with a wrong type are skipped."""
    parts = {part: _mapping(found, part) for part in ("settings", "sensors", "derived")}
    has_bounds = _mapping(found, "task").get("kind") != "failure_within"
    names = values_of([*parts["settings"], *parts["sensors"]], [*parts["derived"]], has_bounds)
    rules = rule_mistakes(_mapping(found, "rules"), names)
    return [
        *_names(parts, has_rules=bool(found.get("rules"))),
        *_between_parts(found, parts),
        *_formulas(parts),
        *rules,
    ]


def _mapping(found: Mapping[str, Any], part: str) -> Mapping[str, Any]:
    inner = found.get(part)
    return {k: v for k, v in inner.items() if isinstance(k, str)} if isinstance(inner, Mapping) else {}


def _names(parts: Mapping[str, Mapping[str, Any]], has_rules: bool) -> Iterator[str]:
    names = [name for part in parts.values() for name in part]
    for name in sorted({n for n in names if names.count(n) > 1}):
        yield f"{name}: named twice among settings, sensors and derived"
    for part, declared in parts.items():
        for name in filter(is_reserved, declared):
            yield f"{part}.{name}: the name is reserved for a feature of the kernel; choose another, such as {name}_0"
        for name in sorted({*ANSWERS, *IDENTITY}.intersection(declared)) if has_rules else ():
            yield f"{part}.{name}: an alert rule already uses this name; choose another, such as {name}_0"
    for name, reading in parts["sensors"].items():
        if isinstance(reading, Mapping) and reading.get("command"):
            yield f"sensors.{name}.command: only a setting can be commanded"


def _between_parts(found: Mapping[str, Any], parts: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    features, task = _mapping(found, "features"), _mapping(found, "task")
    regimes, unit = features.get("regimes"), task.get("unit")
    if isinstance(regimes, int) and regimes > 1 and not parts["settings"]:
        yield "features.regimes: more than one regime needs settings"
    sequences = [n for n in _mapping(_mapping(found, "training"), "candidates") if n in SEQUENCE_FAMILIES]
    if sequences and not features.get("windows"):
        yield f"training.candidates.{sequences[0]}: it needs a window: give features.windows"
    if found.get("order") == "ts" and isinstance(unit, str) and unit not in SECONDS_PER_UNIT:
        yield f"task.unit: {unit!r} with order: ts; allowed: {', '.join(SECONDS_PER_UNIT)}"


def _formulas(parts: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    readings = [*parts["settings"], *parts["sensors"]]
    for name, text in parts["derived"].items():
        if isinstance(text, str):
            try:
                compile_expression(text, readings)
            except ExpressionError as e:
                yield f"derived.{name}: {e}"
