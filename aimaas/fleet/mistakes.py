"""Mistakes in a fleet file, one line each: file, key, value found, values allowed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# the allowed values, by pydantic's type of error; {names} are filled from the error's context
_ALLOWED: Mapping[str, str] = {
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "less than {lt:g}",
    "less_than_equal": "at most {le:g}",
    "finite_number": "a finite number",
    "literal_error": "{expected}",
    "string_pattern_mismatch": "text that matches {pattern}",
    "string_too_short": "text of at least {min_length} characters",
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "dict_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "model_attributes_type": "a mapping of keys to values",
    "list_type": "a list",
    "tuple_type": "a list",
    "too_short": "at least {min_length} entries",
    "too_long": "at most {max_length} entries",
}
_REMOVED: Mapping[str, str] = {
    "gates.confidence": "replaced by gates.false_promotions, a share of the years; leave confidence out",
    "training.refit_growth": "removed, since every training computes a new fit; leave it out, and delete the folders fits and "
    "features of the fleet's lake",
}
_MEMBERS = ("remaining_useful_life", "failure_within")  # pydantic adds the chosen member of a union to the location


def mistake_lines(path: Path, errors: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each mistake. The errors of a union's members about one key make one line."""
    said: dict[str, list[Mapping[str, Any]]] = {}
    for error in errors:
        said.setdefault(_key(error), []).append(error)
    return [
        f"{path}: {key + ': ' if key else ''}{line}"
        for key, same in said.items()
        for line in _found_and_allowed(same).splitlines()
    ]


def _key(error: Mapping[str, Any]) -> str:
    place = [str(part) for part in error["loc"] if part != "[key]"]
    if len(place) > 1 and place[0] == "task" and place[1] in _MEMBERS:
        del place[1]
    if "fill" in place:
        place = place[: place.index("fill") + 1]
    if error["type"].startswith("union_tag"):
        place.append("kind")
    return ".".join(place)


def _found_and_allowed(same: Sequence[Mapping[str, Any]]) -> str:
    """The text for all errors of one key."""
    error = same[0]
    context = error.get("ctx", {})
    match error["type"]:
        case "missing" | "union_tag_not_found":
            return "missing, must be given"
        case "extra_forbidden":
            return _REMOVED.get(_key(error), "unknown key, remove it or check its spelling")
        case "value_error":
            return str(error["msg"]).removeprefix("Value error, ")
        case "union_tag_invalid":
            return f"found {context['tag']!r}, allowed: {context['expected_tags']}"
    found = "nothing" if error["input"] is None else repr(error["input"])
    return f"found {found}, allowed: {' or '.join(dict.fromkeys(map(_allowed, same)))}"


def _allowed(error: Mapping[str, Any]) -> str:
    known = _ALLOWED.get(error["type"])
    message = str(error["msg"])
    return known.format(**error.get("ctx", {})) if known else message[:1].lower() + message[1:]
