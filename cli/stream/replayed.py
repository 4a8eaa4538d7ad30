"""The output of `aimaas replay --check` and `aimaas replay --backfill`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from cli.options import out, say
from cli.records.refused import text

if TYPE_CHECKING:
    from aimaas.fleet import FleetSpec
    from stream.replay.backfill import Backfilled
    from stream.replay.check import Report


def print_report(source: Path, report: Report) -> None:
    """Print totals, then one row for each reason of refusal with its first example."""
    totals = f"{report.rows} rows give {report.events} events and {report.outcomes} outcomes; nothing was sent"
    say(f"{source}: {totals}")
    table = Table("refused", "why", "first", box=None)
    for refused in report.unreadable:
        table.add_row(str(refused.rows), "unreadable", text(str(refused)))
    for judged in report.judged:
        table.add_row(str(judged.events), judged.reason, text(judged.example))
    if table.row_count:
        out.print(table, highlight=False, markup=False)
    rows = sum(refused.rows for refused in report.unreadable)
    events = report.events - report.admitted
    if rows:
        say(f"{rows} rows cannot be read: a replay sends nothing until they are corrected")
    say(f"{report.admitted} events would be admitted, {events} would become dead letters")


def print_backfilled(fleet: FleetSpec, done: Backfilled) -> None:
    """Print what a backfill wrote, which events gold will not take in, and when gold takes in the rest."""
    if done.again:
        say("nothing to do: the whole file was backfilled before")
        return
    say(f"backfilled {done.events} events, sent {done.outcomes} outcomes")
    for reason, events in sorted(done.refused.items()):
        say(f"{events} of the events will not be in gold: {reason}")
    say(f"gold takes them in after the next run of the DAG {fleet.fleet}_ingest")
