"""What was made of a device's rows outside the lake: frozen training sets, model cards, Data Docs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from aimaas.fleet import FleetSpec
from aimaas.mlflow_store import CARD_FOLDER
from aimaas.settings import Settings
from aimaas.training_rows import ROWS
from aimaas.training_set import DESCRIPTION, VOID, read_info
from upkeep.device import Device

_PAGES = (".html", ".json", ".md", ".svg", ".txt")


@dataclass(frozen=True)
class VoidSet:
    """A frozen training set that held the device; without a digest one that a killed run left."""

    folder: Path
    digest: str
    rows: int


def find_sets(settings: Settings, fleet: FleetSpec, device: Device) -> list[VoidSet]:
    """The fleet's frozen training sets below the home with rows of the device."""
    found = []
    for folder in sorted((settings.home / "training" / fleet.fleet).glob(f"**/{ROWS}")):
        rows = _rows_of(folder, device)
        if rows:
            digest = read_info(folder.parent).digest if (folder.parent / DESCRIPTION).is_file() else ""
            found.append(VoidSet(folder.parent, digest, rows))
    return found


def void(found: VoidSet, now: datetime) -> None:
    """Mark a set as void, then erase its rows; the card of its model too, whose pictures show single devices.

    The rows of the other devices go as well: they are not what the model learned from, and a set that does not fit its digest is
    worse than none. The description stays: digest, counts, plan and fit, none of which names a device.
    """
    mark = {"void_since": now.isoformat(timespec="seconds"), "why": "a device in it was forgotten", "rows": found.rows}
    (found.folder / VOID).write_text(json.dumps(mark, indent=2) + "\n", encoding="utf-8")
    for path in _files(found.folder.parent / "trained" / CARD_FOLDER):
        path.unlink()
    for path in _files(found.folder / ROWS):
        path.unlink()


def find_pages(settings: Settings, fleet: FleetSpec, device: Device) -> list[Path]:
    """Data Docs' pages and results whose excerpts name the device."""
    pages = (path for path in _files(settings.data_docs / fleet.fleet) if path.suffix in _PAGES)
    return sorted(path for path in pages if device.is_named_in(path.read_bytes()))


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _rows_of(folder: Path, device: Device) -> int:
    import pyarrow.dataset as ds

    files = [str(path) for path in _files(folder) if path.suffix == ".parquet"]
    return int(ds.dataset(files).count_rows(filter=ds.field("device_id") == device.id)) if files else 0
