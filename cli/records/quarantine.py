"""`aimaas quarantine`: list, show and replay the records that the lake refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from aimaas.errors import AimaasError
from aimaas.settings import read_settings
from cli.options import Fleet, fleet_of, out
from cli.records.refused import AsJson, Limit, Since, print_record, print_replayed, print_rows, reasons, text, time

if TYPE_CHECKING:
    from aimaas.fleet import FleetSpec
    from aimaas.lake.quarantine import Place, Quarantined

quarantine_app = typer.Typer(no_args_is_help=True, help="List, show and replay the refused records of the lake.")

Reason = Annotated[str | None, typer.Option(help="Only records with this reason, such as late or out_of_range.")]


@quarantine_app.command("list")
def quarantine_list(
    fleet: Fleet, reason: Reason = None, since: Since = None, limit: Limit = 50, as_json: AsJson = False
) -> None:
    """Count the refused records by reason and list the newest: coordinates, observed value, and the commit that wrote it."""
    from aimaas.lake.quarantine import read_quarantine
    from upkeep.dead_letters.letters import since_ms

    settings = read_settings()
    after = None if since is None else since_ms(since, datetime.now(UTC))
    found = _with_reason(read_quarantine(settings, fleet_of(settings, fleet), after), reason)
    shown = found[len(found) - min(limit, len(found)) :]
    if as_json:
        for q in shown:
            print(json.dumps(_line(q), ensure_ascii=False))  # noqa: T201
        return
    out.print(_counts(found) if found else "quarantine is empty", highlight=False)
    rows = [[q.source, text(q.key), q.reason, text(q.detail), str(q.run)] for q in shown]
    print_rows(["source", "device", "reason", "observed", "commit"], rows, len(found))


@quarantine_app.command("show")
def quarantine_show(
    fleet: Fleet,
    coordinates: Annotated[
        str, typer.Argument(help="Coordinates of the record: topic/partition/offset or partition/offset.")
    ],
) -> None:
    """Show one refused record: coordinates, reason, observed value and bytes."""
    from aimaas.lake.quarantine import find_quarantined

    settings = read_settings()
    spec = fleet_of(settings, fleet)
    (q,) = find_quarantined(settings, spec, [_place(spec, coordinates)])
    facts = [("source", q.source), ("at", time(q.broker_ms)), ("device", text(q.key)), ("reason", q.reason)]
    facts += [("observed", text(q.detail)), ("commit", str(q.run))]
    facts += [("bytes", str(q.value_bytes)), ("sha256", q.value_sha256 or "")] if q.value_bytes is not None else []
    print_record(facts, q.value)


@quarantine_app.command("replay")
def quarantine_replay(
    fleet: Fleet,
    coordinates: Annotated[
        list[str] | None, typer.Argument(help="Coordinates of records: topic/partition/offset or partition/offset.")
    ] = None,
    reason: Reason = None,
    everything: Annotated[bool, typer.Option("--all", help="All records.")] = False,
    as_json: AsJson = False,
) -> None:
    """Replay refused events of the lake as `aimaas dlq replay` does.

    The command rebuilds a dead letter that is gone. It replays the event only if the predictions topic still has all predictions of
    that time. Retention deletes both after the same time, so the command usually leaves an event whose dead letter is gone.
    """
    from aimaas.lake.quarantine import find_quarantined, read_quarantine
    from aimaas.logs import set_up_logs
    from upkeep.dead_letters.decisions import Action, Replayed
    from upkeep.dead_letters.letters import read_letters
    from upkeep.dead_letters.quarantine import events_only, letters_of, rebuilt
    from upkeep.dead_letters.replay import replay_letters

    if sum((bool(coordinates), reason is not None, everything)) != 1:
        raise typer.BadParameter("name the records: coordinates, --reason, or --all")
    settings = read_settings()
    set_up_logs(settings)
    spec = fleet_of(settings, fleet)
    if coordinates:
        found = find_quarantined(settings, spec, [_place(spec, text) for text in coordinates])
    else:
        found = _with_reason(read_quarantine(settings, spec), reason)
    mine, others = events_only(spec, found)
    letters, wanted = letters_of(settings, spec, read_letters(settings, spec), mine)
    left = [Replayed(rebuilt(q, []), Action.LEFT, why) for q, why in others]
    print_replayed([*replay_letters(settings, spec, letters, wanted), *left], as_json)


def _with_reason(found: list[Quarantined], reason: str | None) -> list[Quarantined]:
    from aimaas.lake.quarantine import EXPECTATION

    known = [*reasons(), EXPECTATION]
    if reason is not None and reason not in known:
        raise AimaasError(f"--reason {reason}: no such reason; there are {', '.join(known)}")
    return found if reason is None else [q for q in found if q.reason == reason]


def _place(fleet: FleetSpec, coordinates: str) -> Place:
    from aimaas.topics import topic_names
    from stream.records.dead_letters import Source

    source = Source.parse(coordinates) or Source.parse(f"{topic_names(fleet).events}/{coordinates}")
    if source is None:
        raise AimaasError(
            f"{coordinates!r} names no record: write topic/partition/offset, as `aimaas quarantine list` shows it"
        )
    return source.topic, source.partition, source.offset


def _counts(found: list[Quarantined]) -> Table:
    table = Table("reason", "records", "first", "last", box=None)
    by_reason: dict[str, list[int]] = {}
    for q in found:
        by_reason.setdefault(q.reason, []).append(q.broker_ms)
    for reason, times in sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[0])):
        table.add_row(reason, str(len(times)), time(min(times)), time(max(times)))
    return table


def _line(q: Quarantined) -> dict[str, object]:
    return {
        "source": q.source,
        "at": datetime.fromtimestamp(q.broker_ms / 1e3, UTC).isoformat().replace("+00:00", "Z"),
        "device": text(q.key),
        "reason": q.reason,
        "observed": q.detail,
        "run": None if q.run is None else q.run.version,
        "run_at": None if q.run is None else q.run.at.isoformat().replace("+00:00", "Z"),
    }
