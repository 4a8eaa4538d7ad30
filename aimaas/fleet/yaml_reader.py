"""Reads the YAML of a fleet file: numbers as YAML 1.2 has them, keys as they are written, and each key once.

YAML 1.1, which PyYAML reads, makes 64 of `0100`, 5,400 of `1:30:00`, a text of `1e5` and true of the key `on`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from aimaas.errors import FleetFileError

_TAG = "tag:yaml.org,2002:"
_MERGE = f"{_TAG}merge"
_REPLACED = (f"{_TAG}int", f"{_TAG}float", f"{_TAG}timestamp")
_WHOLE = re.compile(r"[-+]?[0-9]+")
_REAL = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)


class _Loader(yaml.SafeLoader):
    """PyYAML's loader with the numbers of YAML 1.2 and keys as text. A date is text."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - of the loader's class
        first: [r for r in resolvers if r[0] not in _REPLACED]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """As usual, but a key is the text that stands there."""
        self.flatten_mapping(node)
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                key.tag = f"{_TAG}str"
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(f"{_TAG}int", re.compile(f"^(?:{_WHOLE.pattern})$"), list("-+0123456789"))
_Loader.add_implicit_resolver(f"{_TAG}float", re.compile(f"^(?:{_REAL.pattern})$"), list("-+0123456789."))


def _whole(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    return int(loader.construct_scalar(node))  # PyYAML's own reads octal numbers


_Loader.add_constructor(f"{_TAG}int", _whole)


def read_fleet_yaml(path: Path) -> tuple[dict[str, Any], list[str]]:
    """What a fleet file holds, and a line for each key that is given twice. Raises FleetFileError where it is no mapping."""
    try:
        loader = _Loader(path.read_text(encoding="utf-8"))
        node = loader.get_single_node()
        twice = [] if node is None else [f"{path}: {line}" for line in _repeated(node, "", set())]
        found = None if node is None else loader.construct_document(node)
    except (OSError, UnicodeDecodeError) as e:
        raise FleetFileError(
            [f"{path}: cannot be read ({e.strerror if isinstance(e, OSError) else 'not UTF-8'})"]
        ) from None
    except RecursionError:
        raise FleetFileError([f"{path}: not valid YAML (nested too deeply)"]) from None
    except (yaml.YAMLError, ValueError) as e:
        where = getattr(e, "problem_mark", None)
        line = f"line {where.line + 1}: " if where else ""
        raise FleetFileError([f"{path}: {line}not valid YAML ({getattr(e, 'problem', None) or e})"]) from None
    if not isinstance(found, dict):
        raise FleetFileError(
            [f"{path}: found {type(found).__name__}, allowed is a mapping with fleet, sensors, task, …"]
        )
    return found, twice


def _repeated(node: yaml.Node, place: str, seen: set[int]) -> Iterator[str]:
    """Yield a line for each key that its mapping has a second time. `seen` holds nodes looked at before: aliases repeat them."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for i, part in enumerate(node.value):
            yield from _repeated(part, f"{place}{i}.", seen)
    if isinstance(node, yaml.MappingNode):
        first: dict[str, int] = {}
        for key, value in node.value:
            name, line = (key.value if isinstance(key, yaml.ScalarNode) else "?"), key.start_mark.line + 1
            if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE:
                if name in first:
                    yield f"{place}{name}: given twice, in lines {first[name]} and {line}; only one may stay"
                first.setdefault(name, line)
            yield from _repeated(value, f"{place}{name}.", seen)
