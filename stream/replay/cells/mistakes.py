"""Unreadable cells. A replay ends at the first; a check continues and counts them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from stream.replay.mapping.schema import ReplayError


@dataclass
class Refused:
    """Rows refused for one reason, with the first as the example; `row` counts from 1, without the header."""

    file: Path
    column: str
    row: int
    found: str
    allowed: str
    rows: int = 0

    def __str__(self) -> str:
        place = f"column {self.column!r}, row {self.row}" if self.column else f"row {self.row}"
        return f"{self.file}: {place}: found {self.found}, allowed: {self.allowed}"


@dataclass
class Mistakes:
    """The mistakes so far; with `counting`, no error is raised."""

    counting: bool = False
    refused: dict[tuple[Path, str, str], Refused] = field(default_factory=dict)

    def add(self, first: Refused, rows: int) -> None:
        """Note `rows` rows; `first` is the example. Raises ReplayError unless counting."""
        if not self.counting:
            raise ReplayError(str(first))
        self.refused.setdefault((first.file, first.column, first.allowed), first).rows += rows

    def torn(self, path: Path, row: int, found: str, allowed: str) -> None:
        """Note a row whose cells do not match the header. Raises ReplayError unless counting."""
        self.add(Refused(path, "", row, found, allowed), 1)

    @property
    def rows(self) -> int:
        """Number of rows with a mistake."""
        return sum(refused.rows for refused in self.refused.values())
