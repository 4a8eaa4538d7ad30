"""The rules of a fleet: the parts of its file that decide admission and device state.

A `RuleSet` is plain data with a digest. `fleet_under` turns it back into a fleet file, so that old records can be judged by
their own rules. Features, training, gates and schedules are no rules, because verdicts and device state do not depend on them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from aimaas.errors import StateError
from aimaas.fleet import FleetSpec, Reading

RuleSet = dict[str, Any]  # decoded JSON

_LIMITS = ("record_bytes", "skew_s", "silence_s", "devices", "jump")
_TOPICS = ("partitions", "partitioner")
# the behaviour of releases that did not know the key: an older rule set has no value for it
_BEFORE: Mapping[str, Mapping[str, Any]] = {"limits": {}, "topics": {"partitioner": "any"}}


def rules_of(fleet: FleetSpec) -> RuleSet:
    """The rules that a fleet file declares. Readings keep their order, which is the column order of every matrix."""
    return {
        "order": fleet.order,
        "settings": {name: _reading(r) for name, r in fleet.settings.items()},
        "sensors": {name: _reading(r) for name, r in fleet.sensors.items()},
        "derived": dict(fleet.derived),
        "limits": {name: _plain(getattr(fleet.limits, name)) for name in _LIMITS},
        "topics": {name: _plain(getattr(fleet.topics, name)) for name in _TOPICS},
    }


def _reading(reading: Reading) -> dict[str, Any]:
    low, high = reading.range
    return {"range": [_plain(low), _plain(high)], "nullable": reading.nullable, "fill": _plain(reading.fill)}


def _plain(value: Any) -> Any:
    """The value, with a whole number as an integer, so that 300 and 300.0 are equal."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


def digest_of(rules: RuleSet) -> str:
    """16 hex digits that change with anything in the rules."""
    return hashlib.sha256(msgspec.json.encode(rules)).hexdigest()[:16]


def fleet_under(rules: RuleSet, present: FleetSpec) -> FleetSpec:
    """The present fleet file with these rules instead of its own.

    Keys that this release does not know are left out. Raises StateError if the rules cannot be applied any more, because they
    have a reading that the present file lacks, or because this release cannot read them.
    """
    readings = {**present.settings, **present.sensors}
    gone = [name for part in ("settings", "sensors") for name in rules.get(part, {}) if name not in readings]
    if gone:
        raise StateError(
            f"fleet {present.fleet}: rules ({digest_of(rules)}) for some records have the reading {gone[0]}, which the fleet file "
            "no longer has: add it again, with nullable: true and a fill if devices no longer send it"
        )
    try:
        parts: dict[str, Any] = {
            part: {name: _declared(readings[name], then) for name, then in rules[part].items()}
            for part in ("settings", "sensors")
        }
        for part, known in (("limits", _LIMITS), ("topics", _TOPICS)):
            then = {**_BEFORE[part]} | {name: value for name, value in rules[part].items() if name in known}
            now = getattr(present, part)
            parts[part] = type(now).model_validate(now.model_dump() | then)
        # the result is not validated as a whole: the present task may not fit the old order
        return present.model_copy(update={**parts, "order": rules["order"], "derived": rules["derived"]})
    except ValidationError as e:
        first = e.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise StateError(
            f"fleet {present.fleet}: rules {digest_of(rules)} of an earlier fleet file cannot be read ({where}: {first['msg']}); "
            "start the release that wrote them, or restore the fleet file of that time"
        ) from None


def _declared(reading: Reading, then: Mapping[str, Any]) -> Reading:
    """A reading with the values of the older rules; its name and unit are no rules."""
    known = {k: then[k] for k in ("range", "nullable", "fill") if k in then}
    return Reading.model_validate({"name": reading.name, "unit": reading.unit} | known)


def columns_among(readings: Sequence[str], present: Sequence[str]) -> npt.NDArray[np.int64]:
    """Positions of the `readings` among the `present` ones, which contain them all."""
    return np.array([list(present).index(name) for name in readings], np.int64)


def widened(values: npt.NDArray[Any], readings: Sequence[str], present: Sequence[str]) -> npt.NDArray[Any]:
    """Values (n, r) of `readings` as values (n, R) of the `present` readings, NaN for the readings that were added since."""
    if tuple(readings) == tuple(present):
        return values
    wide = np.full((len(values), len(present)), np.nan, values.dtype)
    wide[:, columns_among(readings, present)] = values
    return wide


def changes(before: RuleSet, after: RuleSet) -> list[str]:
    """The differences between two rule sets as text: `sensors.s4.range: [700, 1416] -> [700, 1500]`."""
    old, new = dict(_leaves(before)), dict(_leaves(after))
    lines = [
        f"{key}: {_shown(old, key)} -> {_shown(new, key)}"
        for key in {**old, **new}
        if old.get(key, _ABSENT) != new.get(key, _ABSENT)
    ]
    if not lines and digest_of(before) != digest_of(after):
        lines = ["the order of readings"]
    return lines


_ABSENT = object()


def _shown(leaves: Mapping[str, Any], key: str) -> str:
    return msgspec.json.encode(leaves[key]).decode() if key in leaves else "none"


def _leaves(rules: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in rules.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value
