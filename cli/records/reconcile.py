"""`aimaas reconcile`: an account of every record of a day."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from cli.options import Fleet, opened, out, say
from cli.records.refused import text

if TYPE_CHECKING:
    from upkeep.reconcile.account import Gap
    from upkeep.reconcile.losses import Loss
    from upkeep.reconcile.split_devices import SplitDevice

reconcile_app = typer.Typer()

Counts = dict[str, int | None]
_SHOWN = 20  # split devices
_NOTES = {
    "sent": "the topic no longer holds the whole day (retention, or deleted and created again): `sent` counts landed records",
    "predicted": "retention has deleted predictions of the day: missing predictions are not reported",
    "letters": "retention has deleted dead letters of the day: missing dead letters are not reported",
}


@dataclass
class _Day:
    """The result for one day: counts by kind of record, and each gap and loss with its kind."""

    fleet: str
    day: str
    counts: dict[str, Counts] = field(default_factory=dict)
    gaps: list[tuple[str, Gap]] = field(default_factory=list)
    lost: list[tuple[str, Loss]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    split: list[SplitDevice] = field(default_factory=list)


@reconcile_app.command()
def reconcile(
    fleet: Fleet,
    day: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Day in UTC, by the broker's time. Default: today.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Account for every record of a day: sent, landed, admitted, quarantined, in gold, predicted, dead-lettered.

    Exits with 1 if a record is missing. Backfilled events have their own column. Records that retention deleted before they were
    landed or scored are shown as lost, with the reason. The command also names devices that were admitted in two partitions.
    """
    from aimaas.admission.journal import read_journal
    from aimaas.kafka.topic_ids import topic_ids
    from aimaas.topics import topic_names
    from upkeep.reconcile.account import counts_of, gaps_of, without
    from upkeep.reconcile.history import backfilled_on
    from upkeep.reconcile.lake import LakeDay
    from upkeep.reconcile.losses import losses_of
    from upkeep.reconcile.split_devices import split_devices
    from upkeep.reconcile.topics import TopicDay

    settings, spec = opened(fleet)
    begin = (day or datetime.now(UTC)).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=UTC)
    found = _Day(fleet, f"{begin:%Y-%m-%d}")
    names, journal = topic_names(spec), read_journal(settings, spec)
    ids = topic_ids(settings, [names.events, names.outcomes])
    for kind, topic in (("events", names.events), ("outcomes", names.outcomes)):
        span = settings, spec, journal.labels(topic, ids[topic]), begin, begin + timedelta(days=1)
        day_in_lake = LakeDay(*span)
        lake = day_in_lake.read()
        log = TopicDay(*span).read()  # after the lake, so that what comes meanwhile is not missing in the log
        erased = day_in_lake.erased()
        lake, log = without(erased, lake, log)
        found.counts[kind] = counts_of(lake, log) | ({"forgotten": len(erased)} if len(erased) else {})
        found.gaps += [(kind, gap) for gap in gaps_of(fleet, lake, log)]
        found.lost += [(kind, loss) for loss in losses_of(*span, journal.gaps)]
        asked = _NOTES if kind == "events" else ("sent",)
        found.notes += [f"{kind}: {_NOTES[what]}" for what in asked if what not in log.whole]
    past, gaps = backfilled_on(settings, spec, begin, begin + timedelta(days=1))
    if past:
        found.counts["history"] = past
        found.gaps += [("history", gap) for gap in gaps]
    found.split = split_devices(settings, spec, begin, begin + timedelta(days=1))
    show = _print_json if as_json else _print_table
    show(found)
    if found.gaps:
        raise typer.Exit(1)


def _print_json(found: _Day) -> None:
    gaps = [{"of": kind, "what": gap.what, "records": len(gap.codes), "line": str(gap)} for kind, gap in found.gaps]
    told = ("topic", "partition", "first", "last", "by", "why")
    lost = [{"of": kind, **{name: getattr(x, name) for name in told}, "line": str(x)} for kind, x in found.lost]
    split = [{"device_id": d.device_id, "partitions": d.partitions, "line": str(d)} for d in found.split]
    whole = {"fleet": found.fleet, "day": found.day, **found.counts, "gaps": gaps, "lost": lost, "notes": found.notes}
    print(json.dumps(whole | {"split_devices": split}))  # noqa: T201


def _print_table(found: _Day) -> None:
    counts = found.counts
    table = Table(f"{found.fleet} {found.day}", *counts, box=None)
    for name in dict.fromkeys(name for c in counts.values() for name in c):
        cells = [c.get(name) for c in counts.values()]
        table.add_row(
            name.replace("_", "-" if name == "dead_lettered" else " "), *("" if n is None else f"{n:,}" for n in cells)
        )
    out.print(table, highlight=False)
    for note in found.notes:
        say(f"note: {note}")
    for device in found.split[:_SHOWN]:
        out.print(f"[yellow]split:[/yellow] {text(str(device))}", highlight=False, soft_wrap=True)
    if len(found.split) > _SHOWN:
        out.print(f"[yellow]split:[/yellow] and {len(found.split) - _SHOWN} more devices; --json lists all")
    for kind, loss in found.lost:
        out.print(f"[yellow]lost:[/yellow] {kind}: {loss}", highlight=False, soft_wrap=True)
    for kind, gap in found.gaps:
        out.print(f"[red]gap:[/red] {kind}: {gap}", highlight=False, soft_wrap=True)
    if not found.gaps:
        say("no gap, except for lost records" if found.lost else "no gap")
