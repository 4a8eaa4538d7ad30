"""`aimaas dlq`: list, show and replay dead letters."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from aimaas.settings import read_settings
from cli.options import Fleet, fleet_of, out
from cli.records.refused import AsJson, Limit, Since, print_record, print_replayed, print_rows, reasons, text, time

if TYPE_CHECKING:
    from aimaas.fleet import FleetSpec
    from aimaas.settings import Settings
    from upkeep.dead_letters.letters import Letter

dlq_app = typer.Typer(no_args_is_help=True, help="List, show and replay dead letters.")

Reason = Annotated[str | None, typer.Option(help="Only dead letters with this reason, such as late or out_of_range.")]


@dlq_app.command("list")
def dlq_list(
    fleet: Fleet,
    reason: Reason = None,
    since: Since = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """Count the dead letters by reason and list the newest, with the coordinates of the refused records."""
    from upkeep.dead_letters.letters import counts_of, read_letters, since_ms, with_reason

    settings = read_settings()
    after = None if since is None else since_ms(since, datetime.now(UTC))
    spec = fleet_of(settings, fleet)
    letters = read_letters(settings, spec, after)
    letters = letters if reason is None else with_reason(letters, reason, reasons())
    shown = letters[len(letters) - min(limit, len(letters)) :]
    if as_json:
        for letter in shown:
            print(json.dumps(_line(letter), ensure_ascii=False))  # noqa: T201
        return
    counts = Table("reason", "letters", "first", "last", box=None)
    for c in counts_of(letters):
        counts.add_row(c.reason, str(c.letters), time(c.first_ms), time(c.last_ms))
    out.print(counts if letters else _none(settings, spec), highlight=False, soft_wrap=not letters)
    rows = [[str(letter.source), text(letter.key), letter.reason, text(letter.message)] for letter in shown]
    print_rows(["source", "device", "reason", "message"], rows, len(letters))


@dlq_app.command("show")
def dlq_show(
    fleet: Fleet,
    coordinates: Annotated[
        str, typer.Argument(help="Coordinates of the refused record: topic/partition/offset, or partition/offset.")
    ],
) -> None:
    """Show one dead letter: coordinates, reason, headers and value."""
    from upkeep.dead_letters.letters import find_letters, read_letters

    settings = read_settings()
    spec = fleet_of(settings, fleet)
    (letter,) = find_letters(read_letters(settings, spec), spec, [coordinates])
    print_record(_facts(letter), letter.value)


@dlq_app.command("replay")
def dlq_replay(
    fleet: Fleet,
    coordinates: Annotated[
        list[str] | None,
        typer.Argument(help="Coordinates of refused records: topic/partition/offset, or partition/offset."),
    ] = None,
    reason: Reason = None,
    everything: Annotated[bool, typer.Option("--all", help="All dead letters.")] = False,
    as_json: AsJson = False,
) -> None:
    """Replay the dead letters that can be admitted now.

    The command sends a record to the events topic again. If the device has sent newer events since, the command scores the record
    by batch instead. You may repeat the command: an event never gets a second prediction.
    """
    from aimaas.logs import set_up_logs
    from upkeep.dead_letters.letters import find_letters, read_letters, with_reason
    from upkeep.dead_letters.replay import replay_letters

    if sum((bool(coordinates), reason is not None, everything)) != 1:
        raise typer.BadParameter("name the dead letters: coordinates, --reason, or --all")
    settings = read_settings()
    set_up_logs(settings)
    spec = fleet_of(settings, fleet)
    letters = read_letters(settings, spec)
    wanted = letters if everything else find_letters(letters, spec, coordinates or ())
    wanted = wanted if reason is None else with_reason(letters, reason, reasons())
    print_replayed(replay_letters(settings, spec, letters, wanted), as_json)


def _none(settings: Settings, fleet: FleetSpec) -> str:
    """Say why there are no dead letters: a scorer refuses no record before a model serves."""
    from aimaas.registry.model_status import statuses

    if any(status.state == "serves" for status in statuses(settings, fleet)):
        return "no dead letters"
    return (
        f"no dead letters yet: no model of fleet {fleet.fleet} has served, so only the lake has judged its events; "
        f"`aimaas quarantine list --fleet {fleet.fleet}` shows the records that the lake refused"
    )


def _line(letter: Letter) -> dict[str, object]:
    return {
        "source": str(letter.source),
        "letter": str(letter.place),
        "at": letter.at.isoformat().replace("+00:00", "Z"),
        "device": text(letter.key),
        "reason": letter.reason,
        "message": letter.message,
        "truncated": dict(letter.truncated),
        "replay_of": None if letter.copy_of is None else str(letter.copy_of),
    }


def _facts(letter: Letter) -> list[tuple[str, str]]:
    facts = [
        ("source", str(letter.source)),
        ("letter", str(letter.place)),
        ("at", time(letter.at_ms)),
        ("device", text(letter.key)),
        ("reason", letter.reason),
        ("message", text(letter.message)),
    ]
    facts += [("replay of", str(letter.copy_of))] if letter.copy_of else []
    facts += [(f"truncated {what}", note) for what, note in letter.truncated.items()]
    return facts + [(f"header {name}", text(content)) for name, content in letter.headers]
