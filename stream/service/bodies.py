"""JSON bodies: decoding by type, and after a failure the exact place of the first mistake."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from stream.service.problems import FieldError, Problem, invalid, shown

_PLACE = re.compile(r"^(?P<what>.*?)(?: - at `\$(?P<path>.*)`)?$", re.DOTALL)
_STEP = re.compile(r"\.(?P<key>[^.\[]+)|\[(?P<index>\d+)\]")
_GOT = re.compile(r"^Expected `(?P<allowed>.*)`, got `.*`$")
ROOT = "#"


def decoded(decoder: msgspec.json.Decoder[Any], raw: bytes | msgspec.Raw, pointer: str = ROOT) -> Any:
    """The value in `raw`, which lies at `pointer` of its body. Raises Problem."""
    try:
        return decoder.decode(raw)
    except (ValueError, RecursionError) as e:  # msgspec's errors are ValueErrors
        raise invalid([error_at(parsed(bytes(raw)), e, pointer)]) from None


def parsed(raw: bytes) -> Any:
    """The JSON value as plain data; NaN and Infinity, which a sensor's software may write, are read. Raises Problem."""
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as e:
        what = "it is nested too deeply" if isinstance(e, RecursionError) else str(e)
        raise Problem(400, "bad-json", f"the body is no JSON: {what}") from None


def error_at(value: Any, error: Exception, pointer: str) -> FieldError:
    """What a decoder says of `value`, at its place below `pointer`."""
    match = _PLACE.match(str(error))
    what, path = (match["what"], match["path"] or "") if match else (str(error), "")
    for step in _STEP.finditer(path):
        place: Any = step["key"] if step["key"] is not None else int(step["index"])
        pointer += f"/{place}"
        value = _member(value, place)
    got = _GOT.match(what)
    allowed = got["allowed"].replace(" | ", " or ") if got else ""
    detail = f"found {shown(value)}, allowed: {allowed}" if got else what[:1].lower() + what[1:]
    return FieldError(pointer, detail, shown(value), allowed)


def _member(value: Any, place: str | int) -> Any:
    try:
        return value[place]
    except (KeyError, IndexError, TypeError):
        return None
