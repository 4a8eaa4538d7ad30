"""`aimaas gate`: show verdicts, resolve failures, and run a gate by hand."""

from __future__ import annotations

import getpass
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.table import Table

from aimaas.errors import AimaasError
from cli.options import Fleet, opened, out, print_facts, say

if TYPE_CHECKING:
    from aimaas.lake.audits import Audit, Gated
    from expectations.resolve import Resolution

gate_app = typer.Typer(
    no_args_is_help=True, help="Show the verdicts of the gates, resolve a failed gate, run a gate by hand."
)

Which = Annotated[
    str | None, typer.Option("--table", help="silver or gold. Default: the first table with a failed gate.")
]
Why = Annotated[str, typer.Option(help="Reason of the decision. It is stored with the verdict.")]
By = Annotated[str | None, typer.Option(help="Name of the person who decides. Default: the user of this shell.")]
Day = Annotated[
    datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Rebuilt day that is held back, instead of a table.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object per table and per day that is held back.")]


@gate_app.command("show")
def gate_show(fleet: Fleet, as_json: AsJson = False) -> None:
    """Show the newest verdicts on silver, on gold and on rebuilt days that are held back.

    A verdict has the offsets, the suite and, for a failed expectation, the observed and the allowed values.
    """
    from aimaas.lake.audits import GATED, newest_audit
    from aimaas.lake.rebuilt_days import held_days

    settings, spec = opened(fleet)
    found = [audit for table in GATED if (audit := newest_audit(settings, spec, table)) is not None]
    found += held_days(settings, spec)
    if not found and not as_json:
        say(f"no gate of fleet {fleet} has run yet")
    for audit in found:
        if as_json:
            print(msgspec.json.encode(audit).decode())  # noqa: T201
        else:
            _show(fleet, audit)


@gate_app.command("acknowledge")
def gate_acknowledge(fleet: Fleet, why: Why, table: Which = None, by: By = None, day: Day = None) -> None:
    """Publish the failed offsets, or a rebuilt day, unchanged. The verdict stores your name and your reason."""
    from expectations.resolve import acknowledge, acknowledge_day, find_failed

    (settings, spec), said = opened(fleet), _said(by, why)
    if day is not None:
        acknowledge_day(settings, spec, day.date(), said)
        say(f"published: the rebuilt day {day:%Y-%m-%d}; gold takes it in after the next run of {fleet}_ingest")
        return
    audit = acknowledge(settings, spec, find_failed(settings, spec, _table(table)), said)
    say(f"published: {audit.table} {audit.span}; {_next(fleet, audit)}")


@gate_app.command("set-aside")
def gate_set_aside(fleet: Fleet, why: Why, table: Which = None, by: By = None) -> None:
    """Set the failing rows aside and publish the other rows of the failed offsets.

    A row that is set aside has an entry in quarantine (reason `expectation`). It stays in silver, and gold leaves it out.
    """
    from expectations.gate import GATE_MEMORY
    from expectations.resolve import find_failed, set_failing_aside
    from spark_jobs.session import session_on_demand

    (settings, spec), said = opened(fleet), _said(by, why)
    with session_on_demand(settings, f"aimaas set-aside {fleet}", GATE_MEMORY) as spark:
        audit, moved = set_failing_aside(settings, spec, find_failed(settings, spec, _table(table)), said, spark)
    others = f", the other rows of {audit.table} {audit.span} published" if audit.table == "silver" else ""
    say(f"{moved} rows set aside{others}; {_next(fleet, audit)}")


@gate_app.command("check")
def gate_check(
    fleet: Fleet,
    table: Annotated[str | None, typer.Option("--table", help="silver or gold. Default: silver.")] = None,
    day: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Day of silver to judge, instead of new rows.")
    ] = None,
) -> None:
    """Run a gate by hand, as the tasks check_silver, check_gold and check_day do.

    The command judges the rows of silver that no gate has judged yet. --table gold judges such rows of gold, --day a day of silver.
    """
    from expectations.gate import GATE_MEMORY, check_day, check_table
    from spark_jobs.session import session_on_demand

    (settings, spec), now, name = opened(fleet), datetime.now(UTC), _table(table) or "silver"
    with session_on_demand(settings, f"aimaas check {name} {fleet}", GATE_MEMORY) as spark:
        report = (
            check_table(settings, spec, name, now, spark)
            if day is None
            else check_day(settings, spec, day.date(), now, spark)
        )
    if report is None:
        say(f"{name}: no new rows to judge")
        return
    for warning in report.warnings:
        say(f"warning: {warning}")
    print(json.dumps({"table": name, "rows": report.rows, "refused": report.refused, "set_aside": report.set_aside}))  # noqa: T201


def _table(name: str | None) -> Gated | None:
    from aimaas.lake.audits import GATED

    found = next((table for table in GATED if table == name), None)
    if name is not None and found is None:
        raise AimaasError(f"--table {name}: this table has no gate; use one of {', '.join(GATED)}")
    return found


def _said(by: str | None, why: str) -> Resolution:
    from expectations.resolve import Resolution

    if not why.strip():
        raise AimaasError("--why: is empty; give a reason, which is stored with the verdict")
    return Resolution(by or getpass.getuser(), why, datetime.now(UTC))


def _next(fleet: str, audit: Audit) -> str:
    """Say which DAG takes up the published rows."""
    if audit.table == "silver":
        return f"the next run of {fleet}_ingest continues from there"
    if audit.verdict == "acknowledged":
        return f"the next run of {fleet}_train reads them"
    return f"the next run of {fleet}_prepare builds gold again without them"


def _show(fleet: str, audit: Audit) -> None:
    if audit.table == "day":
        _show_day(fleet, audit)
        return
    suite = json.loads(audit.suite)
    facts = [
        ("table", audit.table), ("verdict", audit.verdict), ("at", f"{audit.at:%Y-%m-%dT%H:%M:%SZ}"), ("by", audit.by),
        ("why", audit.why), ("offsets", audit.span.replace(", ", "\n")), ("version", str(audit.version)),
        ("rows", f"{audit.rows}, and {audit.refused} refused"), ("suite", f"{len(suite)} expectations"), ("Data Docs", audit.docs),
    ]  # fmt: skip
    print_facts(facts)
    _show_failures(audit)
    if audit.verdict == "failed":
        say(
            "these offsets and all later ones are not published. Publish them unchanged, or without the failing rows:\n"
            f"  aimaas gate acknowledge --fleet {fleet} --table {audit.table} --why …\n"
            f"  aimaas gate set-aside --fleet {fleet} --table {audit.table} --why …"
        )
    out.print()


def _show_failures(audit: Audit) -> None:
    if audit.failures:
        failures = Table("failed", "expectation", "observed", "allowed", box=None)
        for f in audit.failures:
            failures.add_row(f.subject, f.expectation, f.observed, f.allowed)
        out.print(failures, highlight=False, markup=False)


def _show_day(fleet: str, audit: Audit) -> None:
    """Print a rebuilt day that gold has not taken in."""
    state, at = "failed" if audit.verdict == "failed" else "rebuilt, not judged yet", f"{audit.at:%Y-%m-%dT%H:%M:%SZ}"
    print_facts([("rebuilt day", audit.made_of), ("verdict", state), ("at", at), ("Data Docs", audit.docs)])
    _show_failures(audit)
    command = "acknowledge --why …" if audit.verdict == "failed" else "check"
    say(
        f"gold keeps the day as it was before the rebuild. Next: aimaas gate {command} --fleet {fleet} --day {audit.made_of}\n"
    )
