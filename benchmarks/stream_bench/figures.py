"""Figures of several rounds: a table for people on standard error, one JSON line for programs on standard output."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

Rounds = Mapping[str, Sequence[float]]


def summary(rounds: Rounds, digits: int = 3) -> dict[str, float]:
    """Return `key` with the median of the rounds, and `key_min` and `key_max`."""
    found: dict[str, float] = {}
    for key, values in rounds.items():
        for name, value in ((key, median(values)), (f"{key}_min", min(values)), (f"{key}_max", max(values))):
            found[name] = round(value, digits) if value < 1_000 else round(value)
    return found


def say(text: str) -> None:
    """Print the progress."""
    print(text, file=sys.stderr, flush=True)


def table(rounds: Rounds) -> None:
    """Print medians and spreads."""
    say(f"\n{'':24}{'median':>12}{'min':>12}{'max':>12}   rounds")
    for key, values in rounds.items():
        numbers = (median(values), min(values), max(values))
        each = "  ".join(_shown(value) for value in values)
        say(f"{key:24}{''.join(f'{_shown(n):>12}' for n in numbers)}   {each}")


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 1_000 else f"{value:.3g}"


def json_line(benchmark: str, figures: Mapping[str, Any]) -> None:
    """Print the last line of a benchmark."""
    print(json.dumps({"benchmark": benchmark, **figures}), flush=True)
