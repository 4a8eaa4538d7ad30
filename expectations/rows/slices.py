"""The rows that a gate judges together, with the records of silver's offsets that admission refused.

A few rows are read with Arrow and judged in this process, which takes seconds and no JVM. More rows are never held here: they stay
in Spark, which gives Great Expectations the counts and `expectations.sensors` the windows. The suites are the same for both.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from aimaas.fleet import FleetSpec
from aimaas.settings import Settings
from expectations.rows.arrow_rows import ArrowRows
from expectations.rows.new_rows import count_in, not_set_aside, rows_in
from expectations.rows.parts import PLACE, Part
from expectations.rows.spark_rows import SparkLake, read_in_spark
from expectations.rows.windows import MOST_ROWS, ORDER, Windows
from expectations.suite import Expected, Table, columns_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from expectations.validation import DataDocs, Frame

FEW_ROWS = 50_000
"""This many rows of 24 readings take 60 MB in this process; a session takes 1.3 to 2.5 GB and 40 s of processor time."""

StartSpark = Callable[[], "SparkSession"]


class Rows(Protocol):
    """Rows of a table, in this process or in Spark."""

    @property
    def count(self) -> int:
        """The number of rows."""

    @property
    def columns(self) -> Sequence[str]:
        """The requested columns that the table has."""

    def frame(self, columns: Collection[str]) -> Frame:
        """These columns, in the form that Great Expectations takes."""

    def windows(self, sensors: Sequence[str], rows: int) -> Windows:
        """Cut the rows, and the earlier rows of silver, into windows of `rows` rows."""

    def set_aside(
        self, settings: Settings, fleet: FleetSpec, docs: DataDocs, expected: Sequence[Expected], frame: Any
    ) -> int:
        """Note the failing rows of `frame` in quarantine; returns how many were not noted yet."""


@dataclass(frozen=True)
class Slice:
    """The rows that are judged together, and for silver the number of records that admission refused.

    `carried` counts the records of earlier gates, and the refused ones among them, which were too few to judge the refused share.
    """

    rows: Rows
    refused: int | None = None
    carried: tuple[int, int] = (0, 0)

    @property
    def records(self) -> int:
        """The records from which the refused share is computed."""
        return self.rows.count + (self.refused or 0) + self.carried[0]


def columns_read(suite: Sequence[Expected], table: Table) -> set[str]:
    """The columns to read: those that the suite names, and those that identify rows and devices."""
    named = {name for expected in suite for name in columns_of(expected)}
    return named | {*((*PLACE, "broker_ts") if table == "silver" else ()), *ORDER}


def read_slice(
    settings: Settings, fleet: FleetSpec, table: Table, part: Part, columns: Collection[str], carried: tuple[int, int],
    spark: StartSpark | None,
) -> Slice:  # fmt: skip
    """Open a part of a table; for silver without the rows that were set aside, and with earlier rows for the windows.

    Without `spark` all rows are read into this process, however many there are.
    """
    before = part.before(MOST_ROWS) if table == "silver" else None
    sensors = {*ORDER, "ts", *fleet.sensors}
    rows: Rows
    if spark is not None and (count := count_in(settings, fleet, table, part)) > FEW_ROWS:
        rows = read_in_spark(SparkLake(spark(), settings, fleet), table, part, count, columns, before, sensors)
    else:
        found = rows_in(settings, fleet, table, part, columns)
        found = not_set_aside(settings, fleet, found, part) if table == "silver" else found
        known = None if before is None else rows_in(settings, fleet, table, before, sensors)
        rows = ArrowRows(found, part, known)
    refused = (
        count_in(settings, fleet, "quarantine", part.of_quarantine(set_aside=False)) if table == "silver" else None
    )
    return Slice(rows, refused, carried)
