"""The output for refused records, from the dead-letter topic and from the lake's quarantine."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from cli.options import out

if TYPE_CHECKING:
    from upkeep.dead_letters.decisions import Replayed

Limit = Annotated[
    int, typer.Option(min=0, help="Number of rows to list: the newest, in order of time. The counts include all.")
]
Since = Annotated[
    str | None, typer.Option(help="Only records since this time (2026-11-23T10:00:00Z), or of the last 30m, 2h, 7d.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")]


def text(content: bytes | str | None) -> str:
    """Text from a device with all unprintable characters escaped, so that it cannot control the terminal."""
    shown = content.decode("utf-8", "backslashreplace") if isinstance(content, bytes) else content or ""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in shown)


def pretty(value: bytes | None) -> str:
    """Return a value for reading: JSON indented, other text unchanged, other bytes escaped."""
    if value is None:
        return "(no value)"
    try:
        return json.dumps(json.loads(value), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text(value)


def time(ms: int) -> str:
    """A time (ms since 1970) to the second, in UTC."""
    return datetime.fromtimestamp(ms / 1e3, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def reasons() -> list[str]:
    """Return all reasons for which admission refuses a record."""
    from aimaas.records.refusal_reasons import Reason

    return [r.label for r in Reason if r != Reason.ADMITTED]


def print_record(facts: list[tuple[str, str]], value: bytes | None) -> None:
    """Print one record: a line for each fact, then its value."""
    table = Table(box=None, show_header=False)
    for name, fact in facts:
        table.add_row(name, fact)
    out.print(table, highlight=False, markup=False)
    out.print()
    out.print(pretty(value), highlight=False, markup=False, soft_wrap=True)


def print_rows(columns: list[str], rows: list[list[str]], total: int) -> None:
    """Print the newest of `total` records, one per row."""
    if rows:
        table = Table(*columns, box=None)
        for row in rows:
            table.add_row(*row)
        out.print()
        out.print(table, highlight=False, markup=False)
    if len(rows) < total:
        out.print(f"these are the newest {len(rows)} of {total}; --limit shows more", highlight=False)


def print_replayed(done: list[Replayed], as_json: bool) -> None:
    """Print one row for each dead letter, then the number of dead letters for each action."""
    if as_json:
        for d in done:
            print(json.dumps({"source": str(d.letter.source), "done": d.action.value, "why": d.why}))  # noqa: T201
        return
    table = Table("source", "device", "reason", "done", "why", box=None)
    for d in done:
        table.add_row(str(d.letter.source), text(d.letter.key), d.letter.reason, d.action.value, d.why)
    if done:
        out.print(table, highlight=False, markup=False)
        out.print()
    counts = Counter(d.action.value for d in done)
    out.print(", ".join(f"{n} {what}" for what, n in sorted(counts.items())) or "no records to replay", highlight=False)
