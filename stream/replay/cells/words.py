"""Words in a column, such as the outcome of a run. 1, 1.0 and true are words too."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

_WHOLE = re.compile(r"(-?(?:0|[1-9][0-9]*))\.0*")
_TRUTH = ("true", "false")


def word(cell: Any) -> str:
    """Return a cell, or a word of a mapping, for comparison: `1.0` is `1` and `True` is `true`; any other text is only trimmed."""
    text = "" if cell is None else str(cell).strip()
    if text.lower() in _TRUTH:
        return text.lower()
    whole = _WHOLE.fullmatch(text)
    return whole.group(1) if whole else text


def listed(words: Iterable[str], most: int = 10) -> str:
    """Return words for a message."""
    found = list(words)
    return ", ".join(repr(w) for w in found[:most]) + (", …" if len(found) > most else "")
