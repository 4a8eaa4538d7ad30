"""`aimaas dlq`: list, show and replay dead letters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from cli.options import Fleet, opened, say
from cli.records import refused

if TYPE_CHECKING:
    from aimaas.fleet import FleetSpec
    from aimaas.settings import Settings
    from upkeep.dead_letters.letters import Letter

dlq_app = typer.Typer(no_args_is_help=True, help="List, show and replay dead letters.")


@dlq_app.command("list")
def dlq_list(
    fleet: Fleet,
    reason: refused.Reason = None,
    since: refused.Since = None,
    limit: refused.Limit = 50,
    as_json: refused.AsJson = False,
) -> None:
    """Count the dead letters by reason and list the newest, with the coordinates of the refused records."""
    from upkeep.dead_letters.letters import read_letters

    after, (settings, spec) = refused.after_ms(since), opened(fleet)
    letters = refused.with_reason(read_letters(settings, spec, after), reason)
    if not letters and not as_json:
        say(_none(settings, spec))
    cells = {
        "source": lambda letter: str(letter.source),
        "device": lambda letter: refused.text(letter.key),
        "reason": lambda letter: letter.reason,
        "message": lambda letter: refused.text(letter.message),
    }
    refused.print_list(letters, limit, _line if as_json else None, cells, "letters", lambda letter: letter.at_ms)


@dlq_app.command("show")
def dlq_show(fleet: Fleet, coordinates: refused.Coordinates) -> None:
    """Show one dead letter: coordinates, reason, headers and value."""
    from upkeep.dead_letters.letters import find_letters, read_letters

    settings, spec = opened(fleet)
    (letter,) = find_letters(read_letters(settings, spec), spec, [coordinates])
    refused.print_record(_facts(letter), letter.value)


@dlq_app.command("replay")
def dlq_replay(
    fleet: Fleet,
    coordinates: refused.Several = None,
    reason: refused.Reason = None,
    everything: refused.All = False,
    as_json: refused.AsJson = False,
) -> None:
    """Replay the dead letters that can be admitted now.

    The command sends a record to the events topic again. If the device has sent newer events since, the command scores the record
    by batch instead. You may repeat the command: an event never gets a second prediction.
    """
    from upkeep.dead_letters.letters import find_letters, read_letters
    from upkeep.dead_letters.replay import replay_letters

    refused.require_one_choice(coordinates, reason, everything)
    settings, spec = opened(fleet, logs=True)
    letters = read_letters(settings, spec)
    wanted = find_letters(letters, spec, coordinates) if coordinates else refused.with_reason(letters, reason)
    refused.print_replayed(replay_letters(settings, spec, letters, wanted), as_json)


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
        "device": refused.text(letter.key),
        "reason": letter.reason,
        "message": letter.message,
        "truncated": dict(letter.truncated),
        "replay_of": None if letter.copy_of is None else str(letter.copy_of),
    }


def _facts(letter: Letter) -> list[tuple[str, str]]:
    facts = [
        ("source", str(letter.source)),
        ("letter", str(letter.place)),
        ("at", refused.time(letter.at_ms)),
        ("device", refused.text(letter.key)),
        ("reason", letter.reason),
        ("message", refused.text(letter.message)),
    ]
    facts += [("replay of", str(letter.copy_of))] if letter.copy_of else []
    facts += [(f"truncated {what}", note) for what, note in letter.truncated.items()]
    return facts + [(f"header {name}", refused.text(content)) for name, content in letter.headers]
