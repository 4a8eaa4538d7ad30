"""The gate after each table: rows that are new since the last gated version must meet the suite, or the run stops.

Great Expectations runs over a slice read with Arrow, not over Spark: a `spark-submit` takes some 20 s on two cores, the
whole gate 10 s, of which 6 are the import of Great Expectations. The suites do not know which engine judges them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aimaas.errors import GateFailedError, LakeError
from aimaas.fleet import FleetSpec
from aimaas.lake import table_path, table_version
from aimaas.settings import Settings
from expectations.new_rows import new_rows
from expectations.suite import Expected, Table, derived, derived_of_run, hand_written
from expectations.validation import DataDocs, Finding

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


@dataclass(frozen=True)
class GateReport:
    """What a gate saw. `versions` are the Delta versions it judged, for the next gate to start from."""

    fleet: str
    table: str
    versions: Mapping[str, int]
    rows: int
    refused: int
    checked: int
    warnings: tuple[Finding, ...] = field(default=())
    docs: str = ""


def nothing_new(settings: Settings, fleet: FleetSpec, table: Table, since: Mapping[str, int]) -> bool:
    """Say whether the table still has the version that was judged last, or none at all."""
    newest = table_version(settings, fleet.fleet, table)
    return newest is None or since.get(table) == newest


def check_table(
    settings: Settings, fleet: FleetSpec, table: Table, since: Mapping[str, int] | None = None
) -> GateReport:
    """Judge the rows that came to `silver` since the versions `since` (all, where there are none), or all of `gold`.

    Data Docs are written whatever comes out. Raises GateFailedError naming each critical expectation that failed, what was
    observed, its limit and the page to read; LakeError where the table is missing; FleetFileError for a broken
    hand-written suite.
    """
    since = since or {}
    docs = DataDocs(settings.data_docs, fleet.fleet)
    rows = new_rows(settings, fleet, table, since.get(table) if table == "silver" else None)
    if rows.table is None:
        raise LakeError(f"{table_path(settings, fleet.fleet, table)}: no such table yet: run the step before this gate")
    name, run = f"{fleet.fleet}_{table}", f"v{rows.version}"
    suite = [*derived(fleet, table), *hand_written(settings.fleets, fleet, table)]
    done = [docs.validate(name, suite, _frame(rows.table, suite), run)]
    versions: dict[str, int] = {table: rows.version}
    refused = 0
    if table == "silver":
        quarantine = new_rows(settings, fleet, "quarantine", since.get("quarantine"), columns=["reason"])
        versions["quarantine"], refused = quarantine.version, quarantine.count
        done.append(docs.validate(f"{name}_run", derived_of_run(fleet), _run_row(rows.count, refused), run))
    docs.build()
    findings = [f for v in done for f in v.findings]
    critical = [f for f in findings if f.severity == "critical"]
    if critical:
        raise GateFailedError(_message(fleet, table, run, rows.count, critical, docs.index))
    warnings = tuple(f for f in findings if f.severity != "critical")
    checked = sum(v.checked for v in done)
    return GateReport(fleet.fleet, table, versions, rows.count, refused, checked, warnings, docs.index)


def _frame(table: pa.Table, suite: list[Expected]) -> pd.DataFrame:
    """Return the columns that the suite names; a column that is missing is then told by the expectation itself."""
    named = {
        v for _, kwargs, _ in suite for key, value in kwargs.items() if key.startswith("column") for v in _names(value)
    }
    frame: pd.DataFrame = table.select([c for c in table.column_names if c in named]).to_pandas()
    return frame


def _names(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _run_row(admitted: int, refused: int) -> pd.DataFrame:
    import pandas as pd

    share = refused / max(admitted + refused, 1)
    return pd.DataFrame({"admitted": [admitted], "refused": [refused], "refused_share": [share]})


def _message(  # the parts of one sentence
    fleet: FleetSpec, table: Table, run: str, rows: int, failed: list[Finding], docs: str
) -> str:
    head = f"{fleet.fleet}: gate of {table} {run} ({rows} rows) failed {len(failed)} expectation(s)"
    return "\n".join([head, *(f"- {f}" for f in failed), f"Data Docs: {docs}"])
