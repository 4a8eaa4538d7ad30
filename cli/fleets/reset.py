"""The list of what `aimaas fleets reset` will delete."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from cli.options import out


def print_contents(
    fleet: str,
    topics: Mapping[str, int],
    tables: Mapping[Any, int],
    versions: Sequence[str],
    folders: Mapping[str, int],
) -> None:
    """Print one row for each topic, table and folder, and one for the versions."""
    table = Table("what", "name", "holds", box=None)
    for topic, offsets in topics.items():
        table.add_row("topic", topic, f"{offsets:,} offsets")
    for name, rows in tables.items():
        table.add_row("lake table", name, f"{rows:,} rows")
    if versions:
        table.add_row("registered model", fleet, f"{len(versions)} version{'s' * (len(versions) != 1)}")
    for folder, files in folders.items():
        table.add_row("folder", folder, f"{files:,} file{'s' * (files != 1)}")
    out.print(table if table.row_count else f"fleet {fleet} has no data", highlight=False)
