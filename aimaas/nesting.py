"""How deep a JSON record is nested, told before a parser meets it.

A parser's own limit counts the frames of its callers too: at some depth the scorer would read a record that a restore or a Spark
task, called from deeper, would not. So a limit that is far below it decides.
"""

from __future__ import annotations

import re

import numpy as np

DEEPEST = 256  # levels of arrays and objects that are read; an event has two
SHALLOW_BYTES = 2 * DEEPEST  # a shorter record cannot open and close more

_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_OTHERS = bytes(set(range(256)) - set(b"[]{}"))


def is_too_deep(value: bytes) -> bool:
    """Whether arrays and objects are nested deeper than `DEEPEST`; of what is no JSON, whether a parser would get so deep."""
    if value.count(b"[") + value.count(b"{") <= DEEPEST:
        return False
    brackets = np.frombuffer(_STRING.sub(b"", value).translate(None, _OTHERS), np.uint8)
    steps = np.where((brackets == ord("[")) | (brackets == ord("{")), 1, -1)
    return bool(np.cumsum(steps).max(initial=0) > DEEPEST)
