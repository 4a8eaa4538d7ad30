"""JSON bodies: decoding by type, and after a failure the exact place of the first mistake."""

from __future__ import annotations

import math
import re
from typing import Any

import msgspec

from aimaas.records import plain_json
from aimaas.records.refusal_reasons import Reason
from stream.service.problems import FieldError, Problem, field_error, invalid, shown

_PLACE = re.compile(r"^(?P<what>.*?)(?: - at `\$(?P<path>.*)`)?$", re.DOTALL)
_STEP = re.compile(r"\.(?P<key>[^.\[]+)|\[(?P<index>\d+)\]")
_GOT = re.compile(r"^Expected `(?P<allowed>.*)`, got `.*`$")
_MISSING = re.compile(r"^Object missing required field `(?P<key>.*)`$")
ROOT = "#"  # pointers are URI fragments, as in the RFC's own example


def decoded(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    """Return the body's value. Raises Problem."""
    try:
        return decoder.decode(body)
    except (ValueError, RecursionError) as e:  # msgspec's errors are ValueErrors
        raise problem_of(parsed(body), e, ROOT) from None


def parsed(raw: bytes) -> Any:
    """Return the JSON value as plain data; NaN and Infinity, which a sensor's software may write, are read. Raises Problem."""
    try:
        return plain_json.parse(raw)
    except (ValueError, RecursionError) as e:
        raise _no_json(e) from None


def problem_of(value: Any, error: Exception, pointer: str) -> Problem:
    """Return the problem for a decoder's error about `value`, which is at `pointer`."""
    if isinstance(error, msgspec.ValidationError):
        return invalid([_error_at(value, str(error), pointer)])
    wild = _not_finite(value, pointer)
    return invalid([wild]) if wild else _no_json(error)


def _no_json(error: Exception) -> Problem:
    what = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
    return Problem(400, "bad-json", f"the body is not JSON: {what}")


def _error_at(value: Any, said: str, pointer: str) -> FieldError:
    match = _PLACE.match(said)
    what, path = (match["what"], match["path"] or "") if match else (said, "")
    for step in _STEP.finditer(path):
        place: Any = step["key"] if step["key"] is not None else int(step["index"])
        pointer += f"/{place}"
        value = _member(value, place)
    if missing := _MISSING.match(what):
        return FieldError(f"{pointer}/{missing['key']}", "missing, must be given")
    if got := _GOT.match(what):
        return field_error(pointer, value, got["allowed"].replace(" | ", " or "))
    return FieldError(pointer, f"found {shown(value)}: {what[:1].lower()}{what[1:]}", shown(value))


def _member(value: Any, place: str | int) -> Any:
    try:
        return value[place]
    except (KeyError, IndexError, TypeError):
        return None


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")  # RFC 6901


def _not_finite(value: Any, pointer: str) -> FieldError | None:
    """Find the first NaN or infinity in a value.

    Only its own place becomes a text, because the texts of all places may take many times the body.
    """
    waiting: list[tuple[Any, _Place]] = [(value, (None, pointer))]
    while waiting:
        found, at = waiting.pop()
        if isinstance(found, float) and not math.isfinite(found):
            return field_error(_pointer(at), found, "a finite number", Reason.NOT_FINITE)
        if isinstance(found, dict):
            waiting += [(v, (at, k)) for k, v in reversed(found.items())]
        elif isinstance(found, list):
            waiting += [(v, (at, i)) for i, v in reversed(list(enumerate(found)))]
    return None


_Place = tuple[
    Any, str | int
]  # the place of a container (None for the body itself), and the value's key or index in it


def _pointer(place: _Place) -> str:
    steps: list[str] = []
    above, step = place
    while above is not None:
        steps.append(f"/{_escaped(str(step))}")
        above, step = above
    return f"{step}{''.join(reversed(steps))}"
