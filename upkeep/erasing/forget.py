"""Erases one device from the lake, from training sets and from Data Docs. A second run continues an interrupted one.

The order matters. 1. The coordinates of its records are noted, so that no job lands them again and none is reported as a gap.
2. Its rows are erased from the tables, quarantine last, because quarantine shows which records of bronze came under another key.
3. Old files with its rows are deleted. 4. Training sets are voided, and pages with examples are deleted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

from aimaas.errors import LakeError
from aimaas.fleet import FleetSpec
from aimaas.lake import Table, find_table
from aimaas.lake.erased_records import Place, forgotten, remember
from aimaas.settings import Settings
from upkeep.erasing.device import Device
from upkeep.erasing.files import erase_files
from upkeep.erasing.leftovers import VoidSet, find_pages, find_sets, void
from upkeep.erasing.records import count_records, erase_records, find_astray, find_records, id_column
from upkeep.maintenance.tables import there


@dataclass
class Erased:
    """What was found of the device, and erased unless it was a dry run.

    `rows` and `old_files` are by table. `noted` counts newly noted coordinates, `waiting` those that were not landed or judged yet.
    """

    rows: dict[str, int] = field(default_factory=dict)
    old_files: dict[str, int] = field(default_factory=dict)
    noted: int = 0
    waiting: int = 0
    sets: list[VoidSet] = field(default_factory=list)
    pages: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Search:
    """Where the tables hold the device: by table, coordinates with days and row counts. `astray` came under another key."""

    places: Mapping[Table, Mapping[Place, date]]
    counts: Mapping[Table, int]
    astray: Mapping[Place, date]

    @property
    def anything(self) -> bool:
        """Return whether any table holds rows of the device."""
        return any(self.counts.values())


def search(settings: Settings, fleet: FleetSpec, device: Device) -> Search:
    """Look for the device in all tables. Raises LakeError."""
    tables = there(settings, fleet)
    astray = find_astray(tables["quarantine"], device) if "quarantine" in tables else {}
    places: dict[Table, Mapping[Place, date]] = {}
    counts: dict[Table, int] = {}
    for table, found in tables.items():
        mine = find_records(found, device, astray if table in ("bronze", "quarantine") else ())
        places[table], counts[table] = mine, len(mine) or count_records(found, device)
    return Search(places, counts, astray)


def forget(
    settings: Settings,
    fleet: FleetSpec,
    device: Device,
    found: Search,
    waiting: Mapping[Place, date],
    now: datetime,
    dry_run: bool,
) -> Erased:
    """Erase what was `found`. `waiting` has the records on the topics that the lake has not judged yet. Raises LakeError."""
    every = {place: day for places in found.places.values() for place, day in places.items()} | dict(waiting)
    done = Erased(rows={table: n for table, n in found.counts.items() if n}, waiting=len(waiting))
    known = forgotten(settings, fleet.fleet)
    if dry_run:
        done.noted = sum(place[2] not in known.get(place[:2], []) for place in every)
    else:
        done.noted = remember(settings, fleet.fleet, every, now)
        for table in sorted(found.counts, key=lambda table: table == "quarantine"):
            astray = found.astray if table in ("bronze", "quarantine") else ()
            if found.counts[table]:
                erase_records(settings, fleet, table, device, astray)
    done.old_files = _old_files(settings, fleet, device, dry_run)
    done.sets = find_sets(settings, fleet, device)
    pages = find_pages(settings, fleet, device)
    done.pages = [str(page) for page in pages]
    if not dry_run:
        for one in done.sets:
            void(one, now)
        for page in pages:
            page.unlink()
    return done


def check_gone(fleet: FleetSpec, found: Search) -> None:
    """Raise LakeError if a search after the erasure found rows: a running job has written them again."""
    left = {table: n for table, n in found.counts.items() if n}
    if left:
        raise LakeError(
            f"running jobs wrote rows of the device again ({', '.join(f'{t}: {n}' for t, n in left.items())}): "
            f"run this command again after {fleet.fleet}_ingest and {fleet.fleet}_prepare have ended"
        )


def _old_files(settings: Settings, fleet: FleetSpec, device: Device, dry_run: bool) -> dict[str, int]:
    erased, gone = forgotten(settings, fleet.fleet), {}
    for table in there(settings, fleet):
        found = find_table(settings, fleet.fleet, table)
        column = None if found is None else id_column(found)
        if found is not None and column is not None:
            gone[table] = erase_files(found, column, device, erased, dry_run)
    return {table: n for table, n in gone.items() if n}
