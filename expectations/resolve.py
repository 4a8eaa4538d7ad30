"""How a person resolves a failed gate: publish all rows, or publish them without the failing rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

import msgspec

from aimaas.errors import GateFailedError, LakeError
from aimaas.fleet import FleetSpec
from aimaas.lake import offsets_json
from aimaas.lake.audits import GATED, Audit, Gated, Verdict, begin_audits, newest_audit, next_number, record
from aimaas.lake.rebuilt_days import DayVerdict, held_day, held_days, settle_day
from aimaas.settings import Settings
from expectations.gate import failed_span
from expectations.judgement import Judgement, judge, move_aside, suite_of
from expectations.rows.new_rows import span_since
from expectations.rows.slices import Slice, StartSpark, columns_read, read_slice
from expectations.set_aside import SOURCE


@dataclass(frozen=True)
class Resolution:
    """Who decided, and why."""

    by: str
    why: str
    at: datetime


def find_failed(settings: Settings, fleet: FleetSpec, table: Gated | None = None) -> Audit:
    """The failed audit of a table; without a name, of the first table that has one. Raises LakeError if there is none."""
    for name in GATED if table is None else (table,):
        audit = newest_audit(settings, fleet, name)
        if audit is not None and audit.verdict == "failed":
            return audit
    what = "no gate" if table is None else f"the gate of {table} has not"
    raise LakeError(
        f"fleet {fleet.fleet}: {what} failed, so there is nothing to resolve; `aimaas gate show` shows what is published"
    )


def acknowledge(settings: Settings, fleet: FleetSpec, failed: Audit, said: Resolution) -> Audit:
    """Publish the failed offsets with all rows. Raises LakeError if a gate or another person resolved them first."""
    return _resolve(settings, fleet, failed, "acknowledged", said)


def acknowledge_day(settings: Settings, fleet: FleetSpec, day: date, said: Resolution) -> Audit:
    """Let gold take up a rebuilt day with all its rows. Raises LakeError if the day is not held back."""
    held = held_day(settings, fleet, day)
    if held is None:
        raise LakeError(f"fleet {fleet.fleet}: {day} is not held back: the day was not rebuilt, or its gate has passed")
    return settle_day(settings, fleet, held, DayVerdict("acknowledged", said.by, said.at, said.why))


def set_failing_aside(
    settings: Settings, fleet: FleetSpec, failed: Audit, said: Resolution, spark: StartSpark | None = None
) -> tuple[Audit, int]:
    """Note the failing rows in quarantine, so that gold leaves them out, and publish the others; returns how many were noted.

    If it is killed and run again, it notes no row twice. It publishes nothing of gold: the gold job writes gold as a whole without
    these rows. Raises GateFailedError, and notes nothing, if a failure belongs to no row.
    """
    part, found = judge_again(settings, fleet, failed, spark)
    moved = move_aside(settings, fleet, part, found, found.failing)
    return _resolve(settings, fleet, failed, "set aside", said), moved


def publish_unjudged(settings: Settings, fleet: FleetSpec, table: Gated, said: Resolution) -> None:
    """Publish all offsets that no gate has judged yet, on a person's word: a backlog that is known to be good, a benchmark.

    Rebuilt days that wait for their gate are published with silver. Raises GateFailedError if a gate has failed: resolve that
    first.
    """
    begin_audits(settings, fleet, said.at)
    number, last = next_number(settings, fleet, table), newest_audit(settings, fleet, table)
    if last is not None and last.verdict == "failed":
        raise GateFailedError(f"{fleet.fleet}: the gate of {table} has failed; `aimaas gate show` says why")
    span = span_since(settings, fleet, table, {} if last is None else last.published)
    if last is None or not span.is_empty or last.made_of != span.made_of:
        audit = Audit(
            number=number, table=table, verdict="acknowledged", start=offsets_json(span.start), end=offsets_json(span.end),
            version=span.version, table_id=span.table_id, made_of=span.made_of, at=said.at, by=said.by, why=said.why,
        )  # fmt: skip
        record(settings, fleet, [audit])
    for day in held_days(settings, fleet) if table == "silver" else ():
        if day.verdict == "rebuilt":
            settle_day(settings, fleet, day, DayVerdict("acknowledged", said.by, said.at, said.why))


def judge_again(
    settings: Settings, fleet: FleetSpec, failed: Audit, spark: StartSpark | None = None
) -> tuple[Slice, Judgement]:
    """The failed offsets and the findings in them. Raises GateFailedError if a failure belongs to no row."""
    table, suite = failed.of_table, suite_of(settings, fleet, failed.of_table)
    span, columns = failed_span(settings, fleet, failed), {*columns_read(suite, table), *SOURCE}
    part = read_slice(settings, fleet, table, span.part, columns, (failed.carried, failed.carried_refused), spark)
    found = judge(settings, fleet, table, suite, part, f"v{failed.version}")
    if len(found.failing) < len(found.failed):
        named = {(kind, name) for kind, kwargs, _ in found.failing for name in [kwargs.get("column")]}
        others = [str(f) for f in found.failed if (f.expectation, f.subject) not in named]
        raise GateFailedError(
            f"{fleet.fleet}: no row can be set aside for {'; '.join(others)}: fix the source of the data, or publish these offsets "
            f"as they are: aimaas gate acknowledge --fleet {fleet.fleet} --why …"
        )
    return part, found


def _resolve(settings: Settings, fleet: FleetSpec, failed: Audit, verdict: Verdict, said: Resolution) -> Audit:
    number = failed.number + 1
    if next_number(settings, fleet, failed.table) != number:
        raise LakeError(
            f"fleet {fleet.fleet}: {failed.table} was judged or resolved meanwhile; run `aimaas gate show` again"
        )
    settled = {"carried": 0, "carried_refused": 0, "by": said.by, "why": said.why, "at": said.at}
    audit = msgspec.structs.replace(failed, number=number, verdict=verdict, **settled)
    record(settings, fleet, [audit])
    return audit
