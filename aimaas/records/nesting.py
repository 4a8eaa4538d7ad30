"""Measures how deeply a JSON record is nested, before a parser reads it.

A parser's own limit also counts the frames of its callers: at some depth the scorer would read a record that a restore or a
Spark task, with a deeper call stack, would refuse. So a much lower limit decides.
"""

from __future__ import annotations

import numpy as np
from numba import njit

DEEPEST = 256  # allowed levels of arrays and objects; an event has two
SHALLOW_BYTES = 2 * DEEPEST  # a shorter record cannot open and close more levels


def is_too_deep(value: bytes) -> bool:
    """Whether arrays and objects are nested deeper than `DEEPEST`; for invalid JSON, whether a parser would get that deep.

    Looks at each byte once, whatever the content.
    """
    if value.count(b"[") + value.count(b"{") <= DEEPEST:
        return False
    return bool(_deepest(np.frombuffer(value, np.uint8)) > DEEPEST)


@njit(cache=True, nogil=True)
def _deepest(characters):  # type: ignore[no-untyped-def]
    """Return the deepest level of JSON text (n,) uint8. An unclosed string reaches to the end of the text."""
    level = deepest = 0
    in_string = escaped = False
    for c in characters:
        if escaped:
            escaped = False
        elif in_string:
            if c == 0x5C:  # a backslash
                escaped = True
            elif c == 0x22:  # a quotation mark
                in_string = False
        elif c == 0x22:
            in_string = True
        elif c in (0x5B, 0x7B):  # [ and {
            level += 1
            deepest = max(deepest, level)
        elif c in (0x5D, 0x7D):  # ] and }
            level -= 1
    return deepest
