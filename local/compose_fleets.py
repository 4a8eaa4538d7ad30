"""Writes the Docker Compose services and the Prometheus targets of each fleet, from the fleet files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from aimaas.errors import StackError

SCORERS = 2
_TEMPLATES = {
    "docker-compose.fleets.yml": "deploy/fleets.compose.yml.jinja",
    "deploy/prometheus/targets.yml": "deploy/prometheus/targets.yml.jinja",
}


def compose_files(project: Path, fleets: Iterable[str], scorers: int = SCORERS) -> Mapping[str, str]:
    """Return the text of each file, by its path below the project. Raises StackError if `project` is another folder."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from jinja2.exceptions import TemplateNotFound

    environment = Environment(
        loader=FileSystemLoader(project), autoescape=False, undefined=StrictUndefined, trim_blocks=True,  # noqa: S701 - no HTML
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    try:
        return {
            path: environment.get_template(template).render(fleets=sorted(fleets), scorers=scorers)
            for path, template in _TEMPLATES.items()
        }
    except TemplateNotFound as e:
        raise StackError(f"{project}: no {e.name} here; run this in the project's folder") from None


def write_compose_files(project: Path, fleets: Iterable[str], scorers: int = SCORERS) -> list[Path]:
    """Write the files whose text differs, and return these. Raises StackError."""
    files = compose_files(project, fleets, scorers)
    changed = [
        project / path
        for path, text in files.items()
        if not (project / path).is_file() or (project / path).read_text() != text
    ]
    for path in changed:
        path.write_text(files[str(path.relative_to(project))])
    return changed
