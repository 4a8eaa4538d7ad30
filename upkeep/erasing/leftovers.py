"""Copies of a device's rows outside of the tables: frozen training sets, model cards, Data Docs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from aimaas.fleet import FleetSpec
from aimaas.registry.mlflow_store import CARD_FOLDER
from aimaas.settings import Settings
from aimaas.stored_files import at_hand, delete, exists, stored, write
from aimaas.training.folders import TRAINED, training_folders
from aimaas.training.rows import ROWS
from aimaas.training.training_set import DESCRIPTION, VOID, read_info
from upkeep.erasing.device import Device

_PAGES = (".html", ".json", ".md", ".svg", ".txt")


@dataclass(frozen=True)
class VoidSet:
    """A frozen training set that held the device. The digest is empty if a killed run left the set."""

    folder: str
    digest: str
    rows: int


def find_sets(settings: Settings, fleet: FleetSpec, device: Device) -> list[VoidSet]:
    """Return the fleet's frozen training sets, in the lake or below AIMAAS_HOME, with rows of the device."""
    files = [file.place for root in training_folders(settings, fleet.fleet) for file in stored(root)]
    sets = {place.rpartition(f"/{ROWS}/")[0] for place in files if f"/{ROWS}/" in place}
    found = []
    for folder in sorted(sets):
        rows = _rows_of(f"{folder}/{ROWS}", device)
        if rows:
            digest = read_info(folder).digest if exists(f"{folder}/{DESCRIPTION}") else ""
            found.append(VoidSet(folder, digest, rows))
    return found


def void(found: VoidSet, now: datetime) -> None:
    """Mark a set as void, then erase its rows, and the card of its model, whose pictures show single devices.

    The rows of the other devices are erased too: without the device they are another set, which does not match the digest. The
    description stays: digest, counts, plan and fit name no device.
    """
    mark = {"void_since": now.isoformat(timespec="seconds"), "why": "a device in it was forgotten", "rows": found.rows}
    write(f"{found.folder}/{VOID}", (json.dumps(mark, indent=2) + "\n").encode())
    card = f"{found.folder.rpartition('/')[0]}/{TRAINED}/{CARD_FOLDER}"
    for file in [*stored(card), *stored(f"{found.folder}/{ROWS}")]:
        delete(file.place)


def find_pages(settings: Settings, fleet: FleetSpec, device: Device) -> list[Path]:
    """Return the pages and results of Data Docs whose examples name the device."""
    pages = (path for path in _files(settings.data_docs / fleet.fleet) if path.suffix in _PAGES)
    return sorted(path for path in pages if device.is_named_in(path.read_bytes()))


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _rows_of(place: str, device: Device) -> int:
    import pyarrow.dataset as ds

    with at_hand(place) as folder:
        files = [str(path) for path in _files(folder) if path.suffix == ".parquet"]
        return int(ds.dataset(files).count_rows(filter=ds.field("device_id") == device.id)) if files else 0
