"""`aimaas dlq`: look at dead letters, and send them again."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from aimaas.cli.options import Fleet, fleet_of, out
from aimaas.settings import read_settings

if TYPE_CHECKING:
    from stream.letters.decisions import Replayed
    from stream.letters.letters import Letter

dlq_app = typer.Typer(no_args_is_help=True, help="Dead letters: list, look, send again.")

Reason = Annotated[str | None, typer.Option(help="only letters of this reason, such as late or out_of_range")]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON object a line, for programs")]


@dlq_app.command("list")
def dlq_list(
    fleet: Fleet,
    reason: Reason = None,
    since: Annotated[str | None, typer.Option(help="not older: 2026-11-23T10:00:00Z, or 30m, 2h, 7d")] = None,
    limit: Annotated[int, typer.Option(min=0, help="show so many, the newest; the counts are of all")] = 50,
    as_json: AsJson = False,
) -> None:
    """Count the dead letters by reason and show the newest, each with the coordinates of the record that was refused."""
    from stream.letters.letters import counts_of, read_letters, since_ms, with_reason

    settings = read_settings()
    after = None if since is None else since_ms(since, datetime.now(UTC))
    letters = read_letters(settings, fleet_of(settings, fleet), after)
    letters = letters if reason is None else with_reason(letters, reason, _reasons())
    shown = letters[len(letters) - min(limit, len(letters)) :]
    if as_json:
        for letter in shown:
            print(json.dumps(_line(letter), ensure_ascii=False))  # noqa: T201
        return
    counts = Table("reason", "letters", "first", "last", box=None)
    for c in counts_of(letters):
        counts.add_row(c.reason, str(c.letters), _time(c.first_ms), _time(c.last_ms))
    out.print(counts if letters else "no dead letters", highlight=False)
    if shown:
        rows = Table("source", "device", "reason", "message", box=None)
        for letter in shown:
            rows.add_row(str(letter.source), _text(letter.key), letter.reason, _text(letter.message))
        out.print()
        out.print(rows, highlight=False, markup=False)
    if len(shown) < len(letters):
        out.print(f"these are the newest {len(shown)} of {len(letters)}; --limit shows more", highlight=False)


@dlq_app.command("show")
def dlq_show(
    fleet: Fleet,
    coordinates: Annotated[str, typer.Argument(help="topic/partition/offset of the record that was refused")],
) -> None:
    """Show one letter as a whole: where the record was, why it was refused, its headers and its value."""
    from stream.letters.letters import find_letters, read_letters

    settings = read_settings()
    spec = fleet_of(settings, fleet)
    (letter,) = find_letters(read_letters(settings, spec), spec, [coordinates])
    facts = Table(box=None, show_header=False)
    for name, fact in _facts(letter):
        facts.add_row(name, fact)
    out.print(facts, highlight=False, markup=False)
    out.print()
    out.print(_pretty(letter.value), highlight=False, markup=False, soft_wrap=True)


@dlq_app.command("replay")
def dlq_replay(
    fleet: Fleet,
    coordinates: Annotated[list[str] | None, typer.Argument(help="topic/partition/offset of refused records")] = None,
    reason: Reason = None,
    everything: Annotated[bool, typer.Option("--all", help="all letters")] = False,
    as_json: AsJson = False,
) -> None:
    """Send letters again that can be admitted now: into the stream, or where the device is further, scored by batch.

    Run it again whenever you like: an event never gets a second prediction.
    """
    from aimaas.logs import set_up_logs
    from stream.letters.letters import find_letters, read_letters, with_reason
    from stream.letters.replay import replay_letters

    if sum((bool(coordinates), reason is not None, everything)) != 1:
        raise typer.BadParameter("say which letters: coordinates, --reason, or --all")
    settings = read_settings()
    set_up_logs(settings)
    spec = fleet_of(settings, fleet)
    letters = read_letters(settings, spec)
    wanted = letters if everything else find_letters(letters, spec, coordinates or ())
    wanted = wanted if reason is None else with_reason(letters, reason, _reasons())
    _print_replayed(replay_letters(settings, spec, letters, wanted), as_json)


def _print_replayed(done: list[Replayed], as_json: bool) -> None:
    """One row for each letter, then how many went where."""
    if as_json:
        for d in done:
            print(json.dumps({"source": str(d.letter.source), "done": d.action.value, "why": d.why}))  # noqa: T201
        return
    table = Table("source", "device", "reason", "done", "why", box=None)
    for d in done:
        table.add_row(str(d.letter.source), _text(d.letter.key), d.letter.reason, d.action.value, d.why)
    if done:
        out.print(table, highlight=False, markup=False)
        out.print()
    counts: dict[str, int] = {}
    for d in done:
        counts[d.action.value] = counts.get(d.action.value, 0) + 1
    out.print(", ".join(f"{n} {what}" for what, n in sorted(counts.items())) or "no letters", highlight=False)


def _reasons() -> list[str]:
    from aimaas.admission import Reason as Refusal

    return [r.label for r in Refusal if r != Refusal.ADMITTED]


def _line(letter: Letter) -> dict[str, object]:
    return {
        "source": str(letter.source),
        "letter": str(letter.place),
        "at": letter.at.isoformat().replace("+00:00", "Z"),
        "device": _text(letter.key),
        "reason": letter.reason,
        "message": letter.message,
        "truncated": dict(letter.truncated),
        "replay_of": None if letter.copy_of is None else str(letter.copy_of),
    }


def _facts(letter: Letter) -> list[tuple[str, str]]:
    facts = [
        ("source", str(letter.source)),
        ("letter", str(letter.place)),
        ("at", _time(letter.at_ms)),
        ("device", _text(letter.key)),
        ("reason", letter.reason),
        ("message", _text(letter.message)),
    ]
    facts += [("replay of", str(letter.copy_of))] if letter.copy_of else []
    facts += [(f"truncated {what}", note) for what, note in letter.truncated.items()]
    return facts + [(f"header {name}", _text(content)) for name, content in letter.headers]


def _pretty(value: bytes | None) -> str:
    """A value for people: JSON indented, other text as it is, other bytes escaped."""
    if value is None:
        return "(no value)"
    try:
        return json.dumps(json.loads(value), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return _text(value)


def _text(content: bytes | str | None) -> str:
    """What a device wrote, with everything escaped that is not for reading: it must not steer the terminal."""
    text = content.decode("utf-8", "backslashreplace") if isinstance(content, bytes) else content or ""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1e3, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
