"""Judges rows of a table by the suites, with pages in Data Docs; what a gate makes of it stands in `expectations.gate`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from aimaas.declared import as_admitted
from aimaas.fleet import FleetSpec
from aimaas.quarantine import EXPECTATION
from aimaas.settings import Settings
from expectations.sensors import Share, shares
from expectations.set_aside import SOURCE, columns_of
from expectations.suite import (
    Expected,
    Table,
    derived,
    derived_of_run,
    derived_of_windows,
    hand_written,
    of_few_rows,
    warning_only,
)
from expectations.validation import DataDocs, Finding, Validation
from expectations.windows import ORDER

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


@dataclass(frozen=True)
class Slice:
    """What is judged together: rows, and of silver what admission refused beside them and the rows that lay there `before`.

    `carried` are records of earlier gates, and how many of them were refused, that were too few to judge the share refused.
    """

    rows: pa.Table
    refused: int | None = None
    before: pa.Table | None = None
    carried: tuple[int, int] = (0, 0)

    @property
    def records(self) -> int:
        """Records that the share refused is taken of."""
        return int(self.rows.num_rows) + (self.refused or 0) + self.carried[0]


@dataclass(frozen=True)
class Judgement:
    """What was found: critical findings that `failed`, `warnings`, and `aside`, the places of rows in `frame` that are to be
    set aside. Of what failed, `failing` are the expectations on rows; others are about the slice as a whole.
    """

    checked: int
    failed: tuple[Finding, ...]
    warnings: tuple[Finding, ...]
    failing: tuple[Expected, ...]
    aside: tuple[tuple[Expected, list[int]], ...]
    frame: pd.DataFrame
    docs: DataDocs


def suite_of(settings: Settings, fleet: FleetSpec, table: Table) -> list[Expected]:
    """The expectations on rows of a table. Raises FleetFileError for a broken hand-written suite."""
    return [*derived(as_admitted(settings, fleet), table), *hand_written(settings.fleets, fleet, table)]


def columns_read(suite: Sequence[Expected], table: Table) -> set[str]:
    """What is read of a table: the columns that the suite names, and those that tell rows and devices apart."""
    named = {name for expected in suite for name in columns_of(expected)}
    return named | {*(SOURCE if table == "silver" else ()), *ORDER}


def judge(
    settings: Settings, fleet: FleetSpec, table: Table, suite: Sequence[Expected], part: Slice, run: str
) -> Judgement:
    """Judge a slice; `run` names its pages. Shares of fewer than `quality.minimum_rows` rows stop nothing."""
    docs, name, least = (
        DataDocs(settings.data_docs, fleet.fleet, settings.data_docs_url),
        f"{fleet.fleet}_{table}",
        fleet.quality.minimum_rows,
    )
    suite = list(suite) if part.rows.num_rows >= least else of_few_rows(suite)
    frame = _frame(part.rows, suite)
    done = [docs.validate(name, suite, frame, run)]
    if part.refused is not None:
        done.append(_of_run(docs, fleet, part, name, run))
    docs.build()
    findings = [f for v in done for f in v.findings]
    failed = tuple(f for f in findings if f.severity != "warning")
    warnings = tuple(f for f in findings if f.severity == "warning")
    aside = () if failed else done[0].to_set_aside
    places = tuple(zip(aside, docs.failing(aside, frame), strict=True)) if aside else ()
    checked = sum(v.checked for v in done)
    return Judgement(checked, failed, warnings, done[0].failing, places, frame, docs)


def refused_in(quarantine: pa.Table) -> int:
    """Rows that admission refused; those that a gate set aside were admitted."""
    import pyarrow.compute as pc

    if not quarantine.num_rows:
        return 0
    return int(pc.sum(pc.not_equal(quarantine["reason"], EXPECTATION)).as_py() or 0)


def _of_run(docs: DataDocs, fleet: FleetSpec, part: Slice, name: str, run: str) -> Validation:
    """The run as a whole: the share refused, and what can be seen over many rows."""
    ranges = {name: reading.range for name, reading in fleet.sensors.items()}
    seen = shares(ranges, fleet.quality.window_rows, part.rows, part.before)
    share = derived_of_run(fleet)
    share = share if part.records >= fleet.quality.minimum_rows else warning_only(share)
    suite = [*share, *(e for e in derived_of_windows(fleet) if e[1]["column"] in seen)]
    return _named(docs.validate(f"{name}_run", suite, _run_row(part, seen), run), seen)


def _frame(table: pa.Table, suite: Sequence[Expected]) -> pd.DataFrame:
    """Return the columns that the suite names; a column that is missing is then told by the expectation itself."""
    named = {name for expected in suite for name in columns_of(expected)}
    frame: pd.DataFrame = table.select([c for c in table.column_names if c in named]).to_pandas()
    return frame


def _run_row(part: Slice, seen: Mapping[str, Share]) -> pd.DataFrame:
    """The run as a whole, in one row."""
    import pandas as pd

    refused = (part.refused or 0) + part.carried[1]
    counts = {
        "admitted": [part.records - refused],
        "refused": [refused],
        "refused_share": [refused / max(part.records, 1)],
    }
    return pd.DataFrame({**counts, **{column: [found.value] for column, found in seen.items()}})


def _named(done: Validation, seen: Mapping[str, Share]) -> Validation:
    """The findings about devices name some of them."""

    def named(finding: Finding) -> Finding:
        devices = ", ".join(seen[finding.subject].devices) if finding.subject in seen else ""
        return replace(finding, observed=f"{finding.observed}, such as {devices}") if devices else finding

    return replace(done, findings=tuple(named(f) for f in done.findings))
