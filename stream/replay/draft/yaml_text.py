"""Writes values and comments as YAML that every version of YAML reads alike."""

from __future__ import annotations

import math
from typing import Any

import yaml


def number(value: float) -> str:
    """Return a number that every version of YAML reads."""
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    text = repr(value)
    mantissa, e, exponent = text.partition("e")
    return text if not e or "." in mantissa else f"{mantissa}.0e{exponent}"


def scalar(value: Any, flow: bool = False) -> str:
    """Return a value in YAML on one line, in quotes if needed; `flow`: inside braces or brackets."""
    if isinstance(value, str) and any(not c.isprintable() for c in value):
        return _dumped(value, default_style='"')
    text = _dumped([value] if flow else value, default_flow_style=True)
    text = text[1:-1] if flow else text
    quoted = isinstance(value, str) and text[:1] == text[-1:] == "'" and not set(value) & set("'\"\\")
    return f'"{value}"' if quoted else text


def _dumped(value: Any, **style: Any) -> str:
    text: str = yaml.safe_dump(value, allow_unicode=True, width=math.inf, **style)
    return text.removesuffix("\n").removesuffix("\n...")


def comment(text: str) -> str:
    """Return text for a comment: printable, on one line, not too long."""
    shown = "".join(c if c.isprintable() else " " for c in str(text))
    return shown if len(shown) <= 200 else f"{shown[:200]}…"
