"""JSON as plain data, for records that a typed decoder refuses: to say what is wrong with them, or that nothing is."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

COUNTERS = frozenset({"run", "seq"})
_EXACT_DIGITS = 40  # of a whole number; int() of thousands takes quadratic time, and refuses more than 4,300


def parse(text: bytes) -> Any:
    """The value of a JSON text in UTF-8, in time linear in its bytes; of a name that comes twice the last value counts.

    NaN and Infinity, which a sensor's software may write, are read too. Numbers are floats where they are not whole or have more
    than 40 digits; what no float can hold is infinite. Raises ValueError for what is no JSON, RecursionError where it is nested too
    deep for the caller's stack.
    """
    return json.loads(text.decode(), parse_int=_whole)


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) <= _EXACT_DIGITS else float(digits)


def members(found: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The members of these names that an object has, counters as whole numbers."""
    return {name: whole(found[name]) if name in COUNTERS else found[name] for name in names if name in found}


def whole(value: Any) -> Any:
    """A number like 31.0 as the integer that JSON Schema takes it for; any other value as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
