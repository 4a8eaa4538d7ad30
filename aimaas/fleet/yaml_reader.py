"""Reads the YAML of a fleet file: numbers as in YAML 1.2, keys as they are written, and each key at most once.

PyYAML reads YAML 1.1, in which `0100` is 64, `1:30:00` is 5,400, `1e5` is a text and the key `on` is true.
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

    yaml_implicit_resolvers = {  # noqa: RUF012 - an attribute of the loader's class
        first: [r for r in resolvers if r[0] not in _REPLACED]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """As in PyYAML, but each key is the text as written."""
        self.flatten_mapping(node)
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                key.tag = f"{_TAG}str"
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(f"{_TAG}int", re.compile(f"^(?:{_WHOLE.pattern})$"), list("-+0123456789"))
_Loader.add_implicit_resolver(f"{_TAG}float", re.compile(f"^(?:{_REAL.pattern})$"), list("-+0123456789."))


def _whole(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    return int(loader.construct_scalar(node))  # PyYAML's own constructor reads octal numbers


_Loader.add_constructor(f"{_TAG}int", _whole)


def read_fleet_yaml(path: Path) -> tuple[dict[str, Any], list[str]]:
    """Read a fleet file: its content, and a line for each repeated key. Raises FleetFileError if the content is no mapping."""
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
    """Yield a line for each repeated key of a mapping.

    `seen` holds the nodes that were checked before, because aliases repeat nodes.
    """
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
