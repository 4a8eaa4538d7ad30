"""Selects the rows of a Delta table that a gate judges, by one condition for Arrow and Spark.

Offsets, not files, tell which rows are new: compaction and a rebuilt day write old rows to new files, and these were judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from functools import reduce
from operator import and_, or_
from typing import TYPE_CHECKING, Any

from aimaas.lake import Offsets, offsets_of
from aimaas.lake.quarantine import EXPECTATION

if TYPE_CHECKING:
    import pyarrow.dataset as ds
    from pyspark.sql import Column

    from aimaas.lake.audits import Audit

PLACE = ("topic", "partition", "offset")


@dataclass(frozen=True)
class Part:
    """Rows at offsets in [start, end) of their topic and partition (no end if None), of one day, without those of these audits.

    A partition that is not in `start` begins at 0. `set_aside` is for quarantine: rows that an expectation set aside (True), rows
    that admission refused (False), both (None).
    """

    start: Offsets = field(default_factory=dict)
    end: Offsets | None = None
    day: date | None = None
    without: tuple[Audit, ...] = ()
    set_aside: bool | None = None

    def arrow(self) -> ds.Expression:
        """The condition for `pyarrow.dataset`."""
        import pyarrow.dataset as ds

        return self._condition(ds.field, ds.scalar)

    def spark(self) -> Column:
        """The condition for Spark."""
        from pyspark.sql import functions as f

        return self._condition(f.col, f.lit)

    def of_quarantine(self, set_aside: bool) -> Part:
        """The rows of quarantine in this part that an expectation set aside, or that admission refused."""
        return replace(self, set_aside=set_aside)

    def before(self, most: int) -> Part | None:
        """The newest offsets below this part, at most `most`; None if it begins at no offset."""
        if not self.start:
            return None
        share = max(most // len(self.start), 1)
        return Part({at: offset - share for at, offset in self.start.items()}, self.start)

    def _condition(self, column: Callable[[str], Any], literal: Callable[[bool], Any]) -> Any:
        def conditions() -> Iterator[Any]:
            if self.end is not None:
                yield _between(column, literal, self.start, self.end)
            if self.day is not None:
                yield column("day") == self.day
            if self.set_aside is not None:
                yield (column("reason") == EXPECTATION) if self.set_aside else (column("reason") != EXPECTATION)
            for audit in self.without:
                yield ~_between(column, literal, offsets_of(audit.start), offsets_of(audit.end))

        found = list(conditions())
        return reduce(and_, found) if found else literal(True)


def _between(column: Callable[[str], Any], literal: Callable[[bool], Any], start: Offsets, end: Offsets) -> Any:
    def parts() -> Iterator[Any]:
        topic, partition, offset = map(column, PLACE)
        for at, stop in sorted(end.items()):
            if start.get(at, 0) < stop:
                yield (topic == at[0]) & (partition == at[1]) & (offset >= start.get(at, 0)) & (offset < stop)

    found = list(parts())
    return reduce(or_, found) if found else literal(False)
