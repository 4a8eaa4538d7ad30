"""`aimaas forget` and `aimaas maintain`: erase one device, and keep the lake small and fast."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from cli.options import Fleet, opened, out, say
from cli.records.refused import text

if TYPE_CHECKING:
    from aimaas.fleet import FleetSpec
    from aimaas.settings import Settings

upkeep_app = typer.Typer()

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only print what would be deleted.")]

_NOT_TOUCHED = (
    "the SQL table of `aimaas export` (after it has read the last predictions: `{}`), statistics of old commits in "
    "Delta's logs (until these are cleaned up, 30 days), logs of programs and of Airflow's tasks (a gate's warnings "
    "name devices), copies of the topics that others made, backups"
)


@upkeep_app.command()
def forget(
    device: Annotated[str, typer.Argument(help="Device id, as in its records.")],
    fleet: Fleet,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Erase one device from the lake, its derived data and the state of the scorers. Prints which copies remain, and until when.

    After an interruption, run the command again: it continues.
    """
    from aimaas.lake import held
    from upkeep.erasing.device import Device
    from upkeep.erasing.exported import delete_statement
    from upkeep.erasing.forget import check_gone, search
    from upkeep.erasing.forget import forget as forget_in_lake
    from upkeep.erasing.retention import remains
    from upkeep.erasing.state import forget_state
    from upkeep.erasing.waiting import waiting_records

    (settings, spec), now, mine = opened(fleet), datetime.now(UTC), Device(device)
    judged = held(settings, spec.fleet, "admission_state", "admit").offsets
    waiting = waiting_records(settings, spec, judged, mine.is_of)
    found = search(settings, spec, mine)
    # the state first: whether it needs a note is known from what the lake holds
    state = forget_state(settings, spec, device, found.anything or bool(waiting), dry_run)
    done = forget_in_lake(settings, spec, mine, found, waiting, now, dry_run)
    if not dry_run:
        check_gone(spec, search(settings, spec, mine))
    report: dict[str, Any] = {
        "fleet": spec.fleet, "device": device, "at": now.isoformat(timespec="seconds"), "dry_run": dry_run,
        "rows": done.rows, "old_files": done.old_files, "noted": done.noted, "waiting": done.waiting,
        "void_training_sets": [_void_set(settings, spec, s.folder, s.digest, s.rows, dry_run) for s in done.sets],
        "pages": done.pages, "state_snapshots": state.snapshots, "scorers_running": state.scoring,
        "kafka": [_remains(r) for r in remains(settings, spec)],
        "not_touched": _NOT_TOUCHED.format(delete_statement(spec.fleet, device)),
    }  # fmt: skip
    print(json.dumps(report)) if as_json else _print(report)  # noqa: T201


def _void_set(
    settings: Settings, fleet: FleetSpec, folder: str, digest: str, rows: int, dry_run: bool
) -> dict[str, Any]:
    """Return the report on a training set. Unless it is a dry run, mark the versions that were trained on it."""
    from aimaas.registry.versions import mark_void, trained_on

    why = "a device in it was forgotten: the rows are erased, this version cannot be rebuilt"
    versions = trained_on(settings, fleet, digest) if dry_run else mark_void(settings, fleet, digest, why)
    return {"folder": folder, "digest": digest, "rows": rows, "versions": versions}


def _remains(found: Any) -> dict[str, Any]:
    times = {
        name: at and at.isoformat(timespec="seconds")
        for name, at in (("newest", found.newest), ("gone_by", found.gone_by))
    }
    return {"topic": found.topic, **times, "how": found.how}


def _print(report: dict[str, Any]) -> None:
    would = report["dry_run"]
    say(f"{text(report['device'])} of fleet {report['fleet']}: {'would be erased' if would else 'erased'}")
    what = Table("what", "erased", "old files", box=None)
    for table in dict.fromkeys([*report["rows"], *report["old_files"]]):
        what.add_row(table, f"{report['rows'].get(table, 0):,} rows", str(report["old_files"].get(table, 0)))
    what.add_row("not landed or judged yet", f"{report['waiting']:,} records", "")
    what.add_row("device state", f"{report['state_snapshots']} snapshots", "")
    what.add_row("pages of Data Docs", str(len(report["pages"])), "")
    out.print(what, highlight=False)
    for s in report["void_training_sets"]:
        made = f", on which versions {', '.join(s['versions'])} were trained" if s["versions"] else ""
        say(
            f"void: training set {s['folder']} ({s['rows']:,} rows){made}. Train again. The model card may still show the device"
        )
    left = Table("topic", "newest record", "gone by", "", box=None)
    for r in report["kafka"]:
        left.add_row(r["topic"], r["newest"] or "", r["gone_by"] or "", r["how"])
    out.print(left, highlight=False)
    if report["scorers_running"]:
        say(
            "scorers are running, and their memory holds the last rows of devices: restart them, then run this command again"
        )
    say(f"not touched: {text(report['not_touched'])}")


@upkeep_app.command()
def maintain(fleet: Fleet, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Compact the small files of the lake and delete old files. Prints the size of each table.

    The command also deletes old pages of Data Docs, and frozen training sets that no registered version was trained on. It may run
    beside other jobs. The DAG `<fleet>_maintenance` runs it every day.
    """
    from dataclasses import asdict

    from upkeep.maintenance.maintain import maintain as maintain_lake
    from upkeep.maintenance.training_sets import prune_sets

    (settings, spec), now = opened(fleet), datetime.now(UTC)
    done, pages = maintain_lake(settings, spec, now, dry_run)
    sets = prune_sets(settings, spec, now, dry_run)
    if as_json:
        told: dict[str, Any] = {"fleet": fleet, "dry_run": dry_run, "tables": [asdict(d) for d in done], "pages": pages}
        told["training_sets"] = [{"folder": s.folder, "bytes": s.bytes} for s in sets]
        print(json.dumps(told))  # noqa: T201
        return
    shown = Table("table", "rows", "files before", "files", "MB", "compacted", "old files deleted", box=None)
    for d in done:
        size = f"{d.after.bytes / 1e6:,.1f}"
        joined = "busy: next time" if d.busy else str(d.compacted)
        shown.add_row(
            d.table, f"{d.after.rows:,}", str(d.before.files), str(d.after.files), size, joined, str(d.deleted)
        )
    out.print(shown, highlight=False)
    gone, megabytes = "would be deleted" if dry_run else "deleted", sum(s.bytes for s in sets) / 1e6
    say(f"{pages} old files of Data Docs {gone}")
    say(f"{len(sets)} old training sets that no version was trained on ({megabytes:,.1f} MB) {gone}")
