"""A few rows of a table, in the memory of this process."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aimaas.fleet import FleetSpec
from aimaas.settings import Settings
from expectations.rows.parts import Part
from expectations.rows.windows import Windows, cut
from expectations.set_aside import set_aside
from expectations.suite import Expected

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from expectations.validation import DataDocs


@dataclass(frozen=True)
class ArrowRows:
    """The rows of a part, and the rows that were in the table `before` it."""

    table: pa.Table
    part: Part
    before: pa.Table | None = None

    @property
    def count(self) -> int:
        """The number of rows."""
        return int(self.table.num_rows)

    @property
    def columns(self) -> Sequence[str]:
        """The requested columns that the table has."""
        return list(self.table.column_names)

    def frame(self, columns: Collection[str]) -> pd.DataFrame:
        """These columns; the expectation itself reports a missing column."""
        found: pd.DataFrame = self.table.select([c for c in self.table.column_names if c in columns]).to_pandas()
        return found

    def windows(self, sensors: Sequence[str], rows: int) -> Windows:
        """Cut the rows, and the rows before them, into windows of `rows` rows."""
        return cut(sensors, rows, self.table, self.before)

    def set_aside(
        self, settings: Settings, fleet: FleetSpec, docs: DataDocs, expected: Sequence[Expected], frame: pd.DataFrame
    ) -> int:
        """Note the failing rows of `frame` in quarantine; returns how many were not noted yet."""
        failing = list(zip(expected, docs.failing(expected, frame), strict=True))
        return set_aside(settings, fleet, self.table, self.part, failing)
