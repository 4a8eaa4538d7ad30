"""`aimaas quarantine`: list, show and replay the records that the lake refused."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer

from aimaas.errors import AimaasError
from cli.options import Fleet, opened, say
from cli.records import refused

if TYPE_CHECKING:
    from aimaas.fleet import FleetSpec
    from aimaas.lake.quarantine import Place, Quarantined

quarantine_app = typer.Typer(no_args_is_help=True, help="List, show and replay the refused records of the lake.")


@quarantine_app.command("list")
def quarantine_list(
    fleet: Fleet,
    reason: refused.Reason = None,
    since: refused.Since = None,
    limit: refused.Limit = 50,
    as_json: refused.AsJson = False,
) -> None:
    """Count the refused records by reason and list the newest: coordinates, observed value, and the commit that wrote it."""
    from aimaas.lake.quarantine import EXPECTATION, read_quarantine

    after, (settings, spec) = refused.after_ms(since), opened(fleet)
    found = refused.with_reason(read_quarantine(settings, spec, after), reason, EXPECTATION)
    if not found and not as_json:
        say("quarantine is empty")
    cells = {
        "source": lambda q: q.source,
        "device": lambda q: refused.text(q.key),
        "reason": lambda q: q.reason,
        "observed": lambda q: refused.text(q.detail),
        "commit": lambda q: str(q.run),
    }
    refused.print_list(found, limit, _line if as_json else None, cells, "records", lambda q: q.broker_ms)


@quarantine_app.command("show")
def quarantine_show(fleet: Fleet, coordinates: refused.Coordinates) -> None:
    """Show one refused record: coordinates, reason, observed value and bytes."""
    from aimaas.lake.quarantine import find_quarantined

    settings, spec = opened(fleet)
    (q,) = find_quarantined(settings, spec, [_place(spec, coordinates)])
    facts = [
        ("source", q.source),
        ("at", refused.time(q.broker_ms)),
        ("device", refused.text(q.key)),
        ("reason", q.reason),
    ]
    facts += [("observed", refused.text(q.detail)), ("commit", str(q.run))]
    facts += [("bytes", str(q.value_bytes)), ("sha256", q.value_sha256 or "")] if q.value_bytes is not None else []
    refused.print_record(facts, q.value)


@quarantine_app.command("replay")
def quarantine_replay(
    fleet: Fleet,
    coordinates: refused.Several = None,
    reason: refused.Reason = None,
    everything: refused.All = False,
    as_json: refused.AsJson = False,
) -> None:
    """Replay refused events of the lake as `aimaas dlq replay` does.

    The command rebuilds a dead letter that is gone. It replays the event only if the predictions topic still has all predictions of
    that time. Retention deletes both after the same time, so the command usually leaves an event whose dead letter is gone.
    """
    from aimaas.lake.quarantine import EXPECTATION, find_quarantined, read_quarantine
    from upkeep.dead_letters.decisions import Action, Replayed
    from upkeep.dead_letters.letters import read_letters
    from upkeep.dead_letters.quarantine import events_only, letters_of, rebuilt
    from upkeep.dead_letters.replay import replay_letters

    refused.require_one_choice(coordinates, reason, everything)
    settings, spec = opened(fleet, logs=True)
    if coordinates:
        found = find_quarantined(settings, spec, [_place(spec, text) for text in coordinates])
    else:
        found = refused.with_reason(read_quarantine(settings, spec), reason, EXPECTATION)
    mine, others = events_only(spec, found)
    letters, wanted = letters_of(settings, spec, read_letters(settings, spec), mine)
    left = [Replayed(rebuilt(q, []), Action.LEFT, why) for q, why in others]
    refused.print_replayed([*replay_letters(settings, spec, letters, wanted), *left], as_json)


def _place(fleet: FleetSpec, coordinates: str) -> Place:
    from aimaas.topics import topic_names
    from stream.records.dead_letters import Source

    source = Source.parse(coordinates) or Source.parse(f"{topic_names(fleet).events}/{coordinates}")
    if source is None:
        raise AimaasError(
            f"{coordinates!r} names no record: write topic/partition/offset, as `aimaas quarantine list` shows it"
        )
    return source.topic, source.partition, source.offset


def _line(q: Quarantined) -> dict[str, object]:
    return {
        "source": q.source,
        "at": datetime.fromtimestamp(q.broker_ms / 1e3, UTC).isoformat().replace("+00:00", "Z"),
        "device": refused.text(q.key),
        "reason": q.reason,
        "observed": q.detail,
        "run": None if q.run is None else q.run.version,
        "run_at": None if q.run is None else q.run.at.isoformat().replace("+00:00", "Z"),
    }
