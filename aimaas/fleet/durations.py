"""Lengths of stretches in alert rules: a number of events, or a duration of broker time."""

from __future__ import annotations

import re
from typing import NamedTuple

_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"([1-9][0-9]{0,8})([smhd])")
_EVENTS = re.compile(r"([1-9][0-9]{0,5}) events?")


class Stretch(NamedTuple):
    """At least this many events in a row, over at least this many milliseconds of broker time."""

    events: int = 1
    ms: int = 0


def duration_ms(text: str) -> int:
    """Return the milliseconds of `90s`, `10m`, `3h` or `2d`. Raises ValueError."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError(f"found {text!r}, allowed: a duration such as 90s, 10m, 3h or 2d")
    return int(found[1]) * _MS[found[2]]


def stretch_of(text: str) -> Stretch:
    """Return the stretch of `3 events` or of a duration. Raises ValueError."""
    found = _EVENTS.fullmatch(text)
    if found is not None:
        return Stretch(events=int(found[1]))
    if _DURATION.fullmatch(text) is None:
        raise ValueError(f"found {text!r}, allowed: a number of events such as '3 events', or a duration such as 10m")
    return Stretch(ms=duration_ms(text))
