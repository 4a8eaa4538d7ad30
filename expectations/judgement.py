"""Judges rows of a table by its suites and writes Data Docs; `expectations.gate` acts on the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from aimaas.fleet import FleetSpec
from aimaas.lake.declared_readings import as_admitted
from aimaas.settings import Settings
from expectations.rows.slices import Slice
from expectations.sensors import Share, shares
from expectations.suite import (
    Expected,
    Table,
    columns_of,
    derived,
    derived_of_run,
    derived_of_windows,
    hand_written,
    of_few_rows,
    warning_only,
)
from expectations.validation import DataDocs, Finding, Validation

if TYPE_CHECKING:
    import pandas as pd

    from expectations.validation import Frame


@dataclass(frozen=True)
class Judgement:
    """The findings: critical expectations that `failed`, and `warnings`.

    `failing` are the failed expectations on rows; the other failed ones are about the slice as a whole. Rows of `frame` that fail
    an expectation of `to_set_aside` are to be set aside.
    """

    checked: int
    failed: tuple[Finding, ...]
    warnings: tuple[Finding, ...]
    failing: tuple[Expected, ...]
    to_set_aside: tuple[Expected, ...]
    frame: Frame
    docs: DataDocs


def suite_of(settings: Settings, fleet: FleetSpec, table: Table) -> list[Expected]:
    """The expectations on rows of a table. Raises FleetFileError for an invalid hand-written suite."""
    return [*derived(as_admitted(settings, fleet), table), *hand_written(settings.fleets, fleet, table)]


def judge(
    settings: Settings, fleet: FleetSpec, table: Table, suite: Sequence[Expected], part: Slice, run: str
) -> Judgement:
    """Judge a slice; `run` names its pages. With fewer than `quality.minimum_rows` rows no share stops the run."""
    docs, name, least = (
        DataDocs(settings.data_docs, fleet.fleet, settings.data_docs_url),
        f"{fleet.fleet}_{table}",
        fleet.quality.minimum_rows,
    )
    suite = list(suite) if part.rows.count >= least else of_few_rows(suite)
    frame = part.rows.frame({name for expected in suite for name in columns_of(expected)})
    done = [docs.validate(name, suite, frame, run)]
    if part.refused is not None:
        done.append(_of_run(docs, fleet, part, name, run))
    docs.build()
    findings = [f for v in done for f in v.findings]
    failed = tuple(f for f in findings if f.severity != "warning")
    warnings = tuple(f for f in findings if f.severity == "warning")
    aside = () if failed else done[0].to_set_aside
    return Judgement(sum(v.checked for v in done), failed, warnings, done[0].failing, aside, frame, docs)


def move_aside(
    settings: Settings, fleet: FleetSpec, part: Slice, found: Judgement, expected: Sequence[Expected]
) -> int:
    """Note the rows that fail one of these expectations in quarantine; returns how many were not noted yet."""
    return part.rows.set_aside(settings, fleet, found.docs, expected, found.frame) if expected else 0


def _of_run(docs: DataDocs, fleet: FleetSpec, part: Slice, name: str, run: str) -> Validation:
    """The expectations on the run as a whole: the refused share, and faults that show over many rows."""
    ranges = {name: reading.range for name, reading in fleet.sensors.items() if name in part.rows.columns}
    seen = shares(ranges, part.rows.windows(list(ranges), fleet.quality.window_rows))
    share = derived_of_run(fleet)
    share = share if part.records >= fleet.quality.minimum_rows else warning_only(share)
    suite = [*share, *(e for e in derived_of_windows(fleet) if e[1]["column"] in seen)]
    return _named(docs.validate(f"{name}_run", suite, _run_row(part, seen), run), seen)


def _run_row(part: Slice, seen: Mapping[str, Share]) -> pd.DataFrame:
    """The run as a whole, as one row."""
    import pandas as pd

    refused = (part.refused or 0) + part.carried[1]
    counts = {
        "admitted": [part.records - refused],
        "refused": [refused],
        "refused_share": [refused / max(part.records, 1)],
    }
    return pd.DataFrame({**counts, **{column: [found.value] for column, found in seen.items()}})


def _named(done: Validation, seen: Mapping[str, Share]) -> Validation:
    """Add the names of some devices to the findings about devices."""

    def named(finding: Finding) -> Finding:
        devices = ", ".join(seen[finding.subject].devices) if finding.subject in seen else ""
        return replace(finding, observed=f"{finding.observed}, such as {devices}") if devices else finding

    return replace(done, findings=tuple(named(f) for f in done.findings))
