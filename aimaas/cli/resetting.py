"""What `aimaas fleets reset` is about to delete, for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from aimaas.cli.options import out


def print_contents(
    fleet: str, topics: Mapping[str, int], tables: Mapping[Any, int], versions: Sequence[str], folders: Sequence[Path]
) -> None:
    """One row for each topic, table and folder, and one for the versions."""
    table = Table("what", "name", "holds", box=None)
    for topic, offsets in topics.items():
        table.add_row("topic", topic, f"{offsets:,} offsets")
    for name, rows in tables.items():
        table.add_row("lake table", name, f"{rows:,} rows")
    if versions:
        table.add_row("registered model", fleet, f"{len(versions)} version{'s' * (len(versions) != 1)}")
    for folder in folders:
        table.add_row("folder", str(folder), f"{sum(path.is_file() for path in folder.rglob('*')):,} files")
    out.print(table if table.row_count else f"nothing is there of fleet {fleet}", highlight=False)
