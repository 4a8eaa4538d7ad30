"""Writes settings that a search found as YAML, and puts them into the fleet file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from aimaas.errors import FleetFileError
from aimaas.fleet import load_fleet

Candidates = Mapping[str, Mapping[str, Any]]


def shown(candidates: Candidates) -> str:
    """Return YAML of `training.candidates` with these settings."""
    lines = [f"    {name}: {_flow(settings)}" for name, settings in candidates.items()]
    return "\n".join(["training:", "  candidates:", *lines])


def write_settings(path: Path, candidates: Candidates) -> None:
    """Replace the settings of these candidates in the fleet file; all other characters of it stay.

    Raises FleetFileError, and does not change the file, if the result would not be a valid fleet file.
    """
    text = path.read_text(encoding="utf-8")
    places = [(*_span(path, text, name), _flow(settings)) for name, settings in candidates.items()]
    for begin, end, settings in sorted(places, reverse=True):
        text = f"{text[:begin]}{settings}{text[end:]}"
    new = path.with_name(f".{path.name}.new")
    new.write_text(text, encoding="utf-8")
    try:
        load_fleet(new)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def _span(path: Path, text: str, name: str) -> tuple[int, int]:
    """Return the begin and end of a candidate's settings in the file's text."""
    node: Any = yaml.compose(text, yaml.SafeLoader)
    for key in ("training", "candidates", name):
        node = next((value for k, value in node.value if k.value == key), None)
        if node is None:
            raise FleetFileError([f"{path}: training.candidates.{name}: missing; the file was changed meanwhile"])
    return node.start_mark.index, max(_ends(node))


def _ends(node: yaml.Node) -> Iterator[int]:
    """Yield the end of a node's content. The end of a block node itself lies after the comments that follow it."""
    if isinstance(node, yaml.MappingNode | yaml.SequenceNode) and not node.flow_style:
        for part in node.value:
            for inner in part if isinstance(part, tuple) else (part,):
                yield from _ends(inner)
    else:
        yield node.end_mark.index


def _flow(settings: Mapping[str, Any]) -> str:
    text: str = yaml.safe_dump(
        dict(settings), default_flow_style=True, sort_keys=False, width=10_000, allow_unicode=True
    )
    return text.strip()
