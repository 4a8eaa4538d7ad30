"""The gate after each table: rows that no gate has judged must pass the suite, or they are not published.

The verdict is a record in the lake (`aimaas.lake.audits`). Offsets that failed are judged again by themselves, never together
with later rows, until they pass or a person resolves them (`expectations.resolve`).

A few rows are judged in this process, more in Spark (`expectations.rows.slices`), so memory does not grow with the number of new
rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

import msgspec

from aimaas.errors import GateFailedError, LakeError
from aimaas.fleet import FleetSpec
from aimaas.lake import offsets_json, offsets_of, table_path, table_version
from aimaas.lake.audits import Audit, Failure, Verdict, acknowledged, begin_audits, newest_audit, next_number, record
from aimaas.lake.rebuilt_days import DayVerdict, held_day, settle_day
from aimaas.settings import Settings
from expectations.judgement import Judgement, judge, move_aside, suite_of
from expectations.rows.new_rows import Span, count_in, span_since
from expectations.rows.parts import Part
from expectations.rows.slices import Slice, StartSpark, columns_read, read_slice
from expectations.suite import ANY_ROWS, Expected, Table
from expectations.validation import Finding

GATE = "the gate"
GATE_MEMORY = "1g"
"""Heap of a gate's session: a larger heap fills and is no faster."""


@dataclass(frozen=True)
class GateReport:
    """The result of a gate that passed. `versions` are the Delta versions that it judged."""

    fleet: str
    table: str
    versions: Mapping[str, int]
    rows: int
    refused: int
    checked: int
    warnings: tuple[Finding, ...] = field(default=())
    docs: str = ""
    set_aside: int = 0

    @property
    def quarantine_share(self) -> float:
        """Refused records as a share of all new records."""
        return self.refused / max(self.rows + self.refused, 1)


def check_table(
    settings: Settings, fleet: FleetSpec, table: Table, now: datetime | None = None, spark: StartSpark | None = None
) -> GateReport | None:
    """Judge the offsets of `silver` or `gold` that no gate has passed, failed offsets first; None if there are none.

    The audit has the time `now` (UTC), or the clock's time if `now` is None. `spark` starts a session if there are many rows;
    without it all rows are judged in this process. Data Docs and the audit are written for every verdict. Raises GateFailedError
    that names each failed critical expectation, the observed value, the limit and the page to read; LakeError if the table is
    missing, or if another gate judged it meanwhile; FleetFileError for an invalid hand-written suite.
    """
    now = datetime.now(UTC) if now is None else now
    begin_audits(settings, fleet, now)
    number, last = next_number(settings, fleet, table), newest_audit(settings, fleet, table)
    report = None
    if last is not None and last.verdict == "failed":
        report, last = _audit(settings, fleet, table, failed_span(settings, fleet, last), number, last, now, spark)
        number += 1
    span = span_since(settings, fleet, table, {} if last is None else last.published)
    if last is not None and span.is_empty and last.made_of == span.made_of:
        return report
    return _audit(settings, fleet, table, span, number, last, now, spark)[0]


def check_day(
    settings: Settings, fleet: FleetSpec, day: date, now: datetime, spark: StartSpark | None = None
) -> GateReport | None:
    """Judge the rows of silver of one day (UTC, broker time), with pages of their own in Data Docs; otherwise like `check_table`.

    Rows that were set aside or acknowledged are not judged again. The verdict on a rebuilt day is recorded and decides whether
    gold takes up the day. None if the lake has no record of that day.
    """
    held = held_day(settings, fleet, day)
    suite, run = suite_of(settings, fleet, "silver"), f"day-{day}"
    rows = Part(day=day, without=tuple(acknowledged(settings, fleet)))
    part = read_slice(settings, fleet, "silver", rows, columns_read(suite, "silver"), (0, 0), spark)
    if not part.records and not count_in(settings, fleet, "quarantine", rows):
        if held is not None:
            settle_day(settings, fleet, held, DayVerdict("passed", GATE, now))
        return None
    found = judge(settings, fleet, "silver", suite, part, run)
    if held is not None:
        failures = tuple(_failure(f) for f in found.failed)
        verdict: Verdict = "failed" if failures else "passed"
        settle_day(settings, fleet, held, DayVerdict(verdict, GATE, now, "", failures, found.docs.index))
    if found.failed:
        raise GateFailedError(_told(fleet, "silver", run, part, found))
    return _report(settings, fleet, "silver", part, found)


def _check_left_out(settings: Settings, fleet: FleetSpec, span: Span) -> None:
    """Raise LakeError if a version of gold holds rows that were set aside after the gold job had looked for set-aside rows."""
    aside = count_in(settings, fleet, "quarantine", Part(end=span.end, set_aside=True))
    noted = json.loads(span.made_of or "{}").get("aside")
    if noted is not None and noted != aside:
        raise LakeError(
            f"{table_path(settings, fleet.fleet, 'gold')}: version {span.version} leaves out {noted} rows that were set aside, but "
            f"{aside} rows are set aside now: run the gold job (the DAG {fleet.fleet}_prepare), then this gate"
        )


def failed_span(settings: Settings, fleet: FleetSpec, failed: Audit) -> Span:
    """The offsets that failed, in the present version of the table."""
    now = span_since(settings, fleet, failed.of_table, offsets_of(failed.start))
    same = failed.table == "silver" or failed.end == offsets_json(now.end)
    return Span(now.start, offsets_of(failed.end), now.version, now.table_id, now.made_of if same else "")


def _audit(
    settings: Settings, fleet: FleetSpec, table: Table, span: Span, number: int, last: Audit | None, now: datetime,
    spark: StartSpark | None,
) -> tuple[GateReport, Audit]:  # fmt: skip
    """Judge a span and record the audit if it is new. Raises GateFailedError."""
    if span.made_of:
        _check_left_out(settings, fleet, span)
    suite = [*([] if span.start else [ANY_ROWS]), *suite_of(settings, fleet, table)]
    carried = (0, 0) if last is None else (last.carried, last.carried_refused)
    part = read_slice(settings, fleet, table, span.part, columns_read(suite, table), carried, spark)
    again = last is not None and last.verdict == "failed"
    run = f"v{last.version if again and last is not None else span.version}"
    found = judge(settings, fleet, table, suite, part, run)
    audit = _written(fleet, table, span, number, suite, part, found, now)
    if found.failed:
        if not again and [f.expectation for f in found.failed] != [ANY_ROWS[0]]:
            record(settings, fleet, [audit])
        raise GateFailedError(_told(fleet, table, run, part, found, last if again else None))
    aside = move_aside(settings, fleet, part, found, found.to_set_aside)
    record(settings, fleet, [audit])
    return _report(settings, fleet, table, part, found, aside), audit


def _written(
    fleet: FleetSpec, table: Table, span: Span, number: int, suite: Sequence[Expected], part: Slice, found: Judgement, now: datetime
) -> Audit:  # fmt: skip
    """The audit of a judgement. Carried counts are carried on, unless the refused share was judged and passed."""
    few = part.refused is not None and part.records < fleet.quality.minimum_rows
    carried = (part.records, part.carried[1] + (part.refused or 0)) if few else (0, 0)
    carried = part.carried if found.failed else carried
    return Audit(
        number=number, table=table, verdict="failed" if found.failed else "passed", start=offsets_json(span.start),
        end=offsets_json(span.end), version=span.version, table_id=span.table_id, made_of=span.made_of, at=now, by=GATE,
        suite=msgspec.json.encode(suite).decode(), failures=tuple(_failure(f) for f in found.failed), rows=part.rows.count,
        refused=part.refused or 0, carried=carried[0], carried_refused=carried[1], docs=found.docs.index,
    )  # fmt: skip


def _failure(finding: Finding) -> Failure:
    """A finding as the lake keeps it: without examples that are ids of devices, because `aimaas forget` erases ids."""
    names_devices = "device_id" in f"{finding.subject} {finding.limit}"
    observed = finding.observed.partition(" (")[0] if names_devices else finding.observed
    return Failure(finding.subject, finding.expectation, observed, finding.limit)


def _report(
    settings: Settings, fleet: FleetSpec, table: Table, part: Slice, found: Judgement, aside: int = 0
) -> GateReport:
    tables: Sequence[Table | str] = ("silver", "quarantine") if table == "silver" else (table,)
    versions = {name: -1 if (v := table_version(settings, fleet.fleet, name)) is None else v for name in tables}  # type: ignore[arg-type]
    return GateReport(
        fleet.fleet, table, versions, part.rows.count, part.refused or 0, found.checked, found.warnings, found.docs.index, aside
    )  # fmt: skip


def _told(fleet: FleetSpec, table: Table, run: str, part: Slice, found: Judgement, before: Audit | None = None) -> str:
    """The reason why the gate stops, for the task's log."""
    since = "" if before is None else f", as it has since {before.at:%Y-%m-%dT%H:%M:%SZ}"
    head = f"{fleet.fleet}: gate of {table} {run} ({part.rows.count} rows) failed {len(found.failed)} expectation(s){since}"
    lines = [head, *(f"- {f}" for f in found.failed), f"Data Docs: {found.docs.index}"]
    if run.startswith("day-"):
        lines.append(
            "gold keeps the day as it was before the rebuild until the gate passes, or a person acknowledges the day"
        )
    else:
        lines.append(
            f"these rows and later ones are not published until somebody resolves this: `aimaas gate show --fleet {fleet.fleet}`"
        )
    return "\n".join(lines)
