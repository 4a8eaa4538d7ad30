"""Many rows of a table, in Spark: this process holds only their counts and their windows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aimaas.fleet import FleetSpec
from aimaas.lake import Table, table_path, table_version
from aimaas.settings import Settings
from expectations.rows.new_rows import count_in
from expectations.rows.parts import PLACE, Part
from expectations.rows.spark_aside import note_failing
from expectations.rows.spark_windows import cut_in_spark
from expectations.rows.windows import Windows
from expectations.suite import Expected

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from expectations.validation import DataDocs


@dataclass(frozen=True)
class SparkRows:
    """The rows of a part, and the rows that were in the table `before` it; at most `most` of both for the windows."""

    table: DataFrame
    part: Part
    count: int
    before: DataFrame | None = None
    most: int = 0

    @property
    def columns(self) -> Sequence[str]:
        """The requested columns that the table has."""
        return list(self.table.columns)

    def frame(self, columns: Collection[str]) -> DataFrame:
        """All columns: Spark reads only those that are used."""
        return self.table

    def windows(self, sensors: Sequence[str], rows: int) -> Windows:
        """Cut the rows, and the rows before them, into windows of `rows` rows."""
        return cut_in_spark(sensors, rows, self.table, self.before, self.most)

    def set_aside(
        self, settings: Settings, fleet: FleetSpec, docs: DataDocs, expected: Sequence[Expected], frame: DataFrame
    ) -> int:
        """Note the failing rows of `frame` in quarantine; returns how many were not noted yet."""
        return note_failing(settings, fleet, docs.failing_in_spark(expected, frame), self.part, expected)


@dataclass(frozen=True)
class SparkLake:
    """The tables of a fleet's lake, as a Spark session reads them."""

    session: SparkSession
    settings: Settings
    fleet: FleetSpec

    def rows(self, table: Table, part: Part, columns: Collection[str]) -> DataFrame:
        """The rows of a part, with the `columns` that the table has. NaN is null, as in pandas."""
        from pyspark.sql import functions as f

        version = table_version(self.settings, self.fleet.fleet, table) or 0
        path = table_path(self.settings, self.fleet.fleet, table)
        rows = self.session.read.format("delta").option("versionAsOf", version).load(path).where(part.spark())
        floats = {name for name, kind in rows.dtypes if kind in ("double", "float")}
        return rows.select(
            *(f.nanvl(f.col(c), f.lit(None)).alias(c) if c in floats else c for c in rows.columns if c in columns)
        )

    def count(self, table: Table, part: Part) -> int:
        """The number of rows of a part."""
        return count_in(self.settings, self.fleet, table, part)


def read_in_spark(
    lake: SparkLake, table: Table, part: Part, count: int, columns: Collection[str], before: Part | None, sensors: Collection[str]
) -> SparkRows:  # fmt: skip
    """Open a part of `count` rows; for silver without the rows that were set aside.

    Spark reads the rows when they are needed. `before` is the earlier part, of which only the `sensors` are read.
    """
    rows, aside = lake.rows(table, part, columns), part.of_quarantine(set_aside=True)
    if table == "silver" and lake.count("quarantine", aside):
        rows = rows.join(lake.rows("quarantine", aside, PLACE), list(PLACE), "left_anti")
        count = rows.count()
    known = 0 if before is None else lake.count(table, before)
    if before is None or not known:
        return SparkRows(rows, part, count, most=count)
    return SparkRows(rows, part, count, lake.rows(table, before, sensors), count + known)
