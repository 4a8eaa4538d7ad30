"""Frozen training sets that nobody needs any more: old ones that no version of the registry learned from.

A set stays as long as the registry has a version that names it, champion or not: by it the version can be built again, compared
and looked at in MLflow. Who deletes a version there gives its set free. A set that holds the same rows as that of a version (a
training of a night without news) is a copy, and goes. The fleet's newest set stays, because `aimaas search` takes it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aimaas.errors import LakeError
from aimaas.fleet import FleetSpec
from aimaas.logs import logger
from aimaas.mlflow_store import client as client_of
from aimaas.settings import Settings
from aimaas.training_set import DESCRIPTION, newest_training_set, read_info

log = logger("upkeep")


@dataclass(frozen=True)
class PrunedSet:
    """A set that went: its folder, its size, and when the last of its files was written."""

    folder: Path
    bytes: int
    at: datetime


def prune_sets(settings: Settings, fleet: FleetSpec, now: datetime, dry_run: bool = False) -> list[PrunedSet]:
    """Delete the fleet's sets that are older than `training.retention_days` and that no version learned from; which.

    What a killed run left without a description is such a set too. Model and card beside a set stay. Sets outside of the home are
    not looked for. Raises RegistryError where there is an old set and the registry does not answer.
    """
    before = now - timedelta(days=fleet.training.retention_days)
    newest = _newest(settings, fleet)
    old = [s for s in _sets(settings, fleet) if s.at < before and s.folder != newest]
    needed = _needed(settings, fleet, [s.folder for s in old]) if old else set()
    gone = [s for s in old if s.folder not in needed]
    for one in gone:
        log.info("training set pruned", fleet=fleet.fleet, folder=str(one.folder), bytes=one.bytes, dry_run=dry_run)
        if not dry_run:
            _delete(one.folder)
    return gone


def _sets(settings: Settings, fleet: FleetSpec) -> list[PrunedSet]:
    """All of them, by their runs' folders. One is as old as the newest file of its run."""
    found = []
    for folder in sorted((settings.home / "training" / fleet.fleet).glob("*/training_set")):
        files = [path.stat() for path in folder.parent.rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        newest = max((of.st_mtime for of in files), default=folder.stat().st_mtime)
        found.append(PrunedSet(folder, size, datetime.fromtimestamp(newest, UTC)))
    return found


def _newest(settings: Settings, fleet: FleetSpec) -> Path | None:
    try:
        return newest_training_set(settings.home, fleet.fleet)
    except LakeError:
        return None


def _needed(settings: Settings, fleet: FleetSpec, folders: Iterable[Path]) -> set[Path]:
    """Those that a version names; and those with the rows of a version whose own set is gone."""
    with client_of(settings) as client:
        versions = client.search_model_versions(f"name='{fleet.fleet}'", max_results=10_000)
    named = {settings.home / v.tags["training_set"]: v.tags.get("digest") for v in versions if "training_set" in v.tags}
    lost = {digest for folder, digest in named.items() if not (folder / DESCRIPTION).is_file()}
    return {folder for folder in folders if folder in named or _digest(folder) in lost - {None}}


def _digest(folder: Path) -> str | None:
    try:
        return read_info(folder).digest
    except LakeError:
        return None


def _delete(folder: Path) -> None:
    """The description first: without it the rest is no training set, and a pass that was killed goes on."""
    (folder / DESCRIPTION).unlink(missing_ok=True)
    shutil.rmtree(folder)
    with suppress(OSError):  # the model and its card are there
        folder.parent.rmdir()
