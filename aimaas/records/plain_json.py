"""Parses JSON to plain data, for records that a typed decoder refuses: finds their fault, or that they have none."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

COUNTERS = frozenset({"run", "seq"})
_EXACT_DIGITS = 40  # of a whole number; int() takes quadratic time for thousands of digits, and refuses more than 4,300


def parse(text: bytes) -> Any:
    """Parse a JSON text in UTF-8, in time linear in its bytes; the last value of a repeated name counts.

    NaN and Infinity, which a sensor's software may write, are read too. Numbers that are not whole, or have more than 40 digits,
    are floats; numbers too large for a float are infinite. Raises ValueError for invalid JSON, RecursionError for JSON nested too
    deep for the caller's stack.
    """
    return json.loads(text.decode(), parse_int=_whole)


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) <= _EXACT_DIGITS else float(digits)


def members(found: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The members of an object that have these names, counters as whole numbers."""
    return {name: whole(found[name]) if name in COUNTERS else found[name] for name in names if name in found}


def whole(value: Any) -> Any:
    """Return a number like 31.0 as an integer, as JSON Schema reads it; any other value unchanged."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
