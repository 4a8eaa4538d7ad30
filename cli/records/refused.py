"""The output for refused records, from the dead-letter topic and from the lake's quarantine."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Protocol, TypeVar

import typer
from rich.table import Table

from aimaas.errors import AimaasError
from cli.options import out, print_facts, say

if TYPE_CHECKING:
    from upkeep.dead_letters.decisions import Replayed

Limit = Annotated[
    int, typer.Option(min=0, help="Number of rows to list: the newest, in order of time. The counts include all.")
]
Since = Annotated[
    str | None, typer.Option(help="Only records since this time (2026-11-23T10:00:00Z), or of the last 30m, 2h, 7d.")
]
Reason = Annotated[str | None, typer.Option(help="Only records with this reason, such as late or out_of_range.")]
Coordinates = Annotated[
    str, typer.Argument(help="Coordinates of the refused record: topic/partition/offset or partition/offset.")
]
Several = Annotated[
    list[str] | None, typer.Argument(help="Coordinates of refused records: topic/partition/offset or partition/offset.")
]
All = Annotated[bool, typer.Option("--all", help="All refused records.")]
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


class Refused(Protocol):
    """A dead letter, or a record in quarantine."""

    @property
    def reason(self) -> str:
        """The reason of the refusal."""


R = TypeVar("R", bound=Refused)


def after_ms(since: str | None) -> int | None:
    """Return the time (ms since 1970) of the option `--since`; None without one. Raises AimaasError."""
    from upkeep.dead_letters.letters import since_ms

    return None if since is None else since_ms(since, datetime.now(UTC))


def with_reason(records: list[R], reason: str | None, *others: str) -> list[R]:
    """Return the records of one reason, all without one. Raises AimaasError if it is neither admission's nor among the `others`."""
    from aimaas.records.refusal_reasons import Reason as Known

    known = [*(r.label for r in Known if r != Known.ADMITTED), *others]
    if reason is not None and reason not in known:
        raise AimaasError(f"--reason {reason}: no such reason; the reasons are {', '.join(known)}")
    return [record for record in records if reason in (None, record.reason)]


def require_one_choice(coordinates: Sequence[str] | None, reason: str | None, everything: bool) -> None:
    """Raise BadParameter unless the records of a replay are named in one way."""
    if sum((bool(coordinates), reason is not None, everything)) != 1:
        raise typer.BadParameter("name the records: coordinates, --reason, or --all")


def print_list(
    records: Sequence[R],
    limit: int,
    line: Callable[[R], Mapping[str, object]] | None,
    cells: Mapping[str, Callable[[R], str]],
    what: str,
    at_ms: Callable[[R], int],
) -> None:
    """Print the newest records (oldest first): with `line` as JSON, else the counts of `what` by reason and a table of `cells`."""
    shown = records[len(records) - min(limit, len(records)) :]
    if line is not None:
        for record in shown:
            print(json.dumps(line(record), ensure_ascii=False))  # noqa: T201
        return
    if records:
        out.print(_counts(records, what, at_ms), highlight=False)
    print_rows(list(cells), [[cell(record) for cell in cells.values()] for record in shown], len(records))


def _counts(records: Sequence[R], what: str, at_ms: Callable[[R], int]) -> Table:
    """Return a table of the records by reason, the most frequent first, with the times of the first and the last."""
    table, times = Table("reason", what, "first", "last", box=None), dict[str, list[int]]()
    for record in records:
        times.setdefault(record.reason, []).append(at_ms(record))
    for reason, at in sorted(times.items(), key=lambda item: (-len(item[1]), item[0])):
        table.add_row(reason, str(len(at)), time(min(at)), time(max(at)))
    return table


def print_record(facts: list[tuple[str, str]], value: bytes | None) -> None:
    """Print one record: a line for each fact, then its value."""
    print_facts(facts)
    out.print()
    out.print(pretty(value), highlight=False, markup=False, soft_wrap=True)


def print_rows(columns: list[str], rows: list[list[str]], total: int) -> None:
    """Print the newest of `total` records, one per row."""
    if rows:
        table = Table(box=None)
        for column in columns:
            table.add_column(column, overflow="fold")  # what a person copies is not cut
        for row in rows:
            table.add_row(*row)
        out.print()
        out.print(table, highlight=False, markup=False)
    if len(rows) < total:
        say(f"these are the newest {len(rows)} of {total}; --limit shows more")


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
    say(", ".join(f"{n} {what}" for what, n in sorted(counts.items())) or "no records to replay")
