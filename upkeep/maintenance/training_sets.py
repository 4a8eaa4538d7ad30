"""Deletes old frozen training sets that no registered version was trained on.

A set stays while the registry has a version that names it, champion or not: the version can then be trained again, compared and
inspected in MLflow. Deleting a version in MLflow frees its set. A set with the same rows as the set of a version (from a night
without new data) is a copy and is deleted. The fleet's newest set stays, because `aimaas search` uses it.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from aimaas.errors import LakeError
from aimaas.fleet import FleetSpec
from aimaas.logs import logger
from aimaas.registry.mlflow_store import client as client_of
from aimaas.registry.mlflow_store import versions_of
from aimaas.settings import Settings
from aimaas.stored_files import Stored, delete, delete_folder, exists, is_local, stored
from aimaas.training.folders import TRAINING_SET, place_of, training_folders
from aimaas.training.training_set import DESCRIPTION, newest_training_set, read_info

log = logger("upkeep")


@dataclass(frozen=True)
class PrunedSet:
    """A deleted set: its folder (a path or a URI), its size, and the time of its newest file."""

    folder: str
    bytes: int
    at: datetime


def prune_sets(settings: Settings, fleet: FleetSpec, now: datetime, dry_run: bool = False) -> list[PrunedSet]:
    """Delete and return the fleet's sets that are older than `training.retention_days` and that no version was trained on.

    A set of a killed run, without a description, is deleted too. The model and the card beside a set stay. Sets outside of the lake
    and AIMAAS_HOME are not searched. Raises RegistryError if there is an old set and the registry does not answer.
    """
    before = now - timedelta(days=fleet.training.retention_days)
    newest = _newest(settings, fleet)
    old = [s for s in _sets(settings, fleet) if s.at < before and s.folder != newest]
    needed = _needed(settings, fleet, [s.folder for s in old]) if old else set()
    gone = [s for s in old if s.folder not in needed]
    for one in gone:
        log.info("training set pruned", fleet=fleet.fleet, folder=one.folder, bytes=one.bytes, dry_run=dry_run)
        if not dry_run:
            _delete(one.folder)
    return gone


def _sets(settings: Settings, fleet: FleetSpec) -> list[PrunedSet]:
    """Return all sets, from the folders of their runs. A set is as old as the newest file of its run."""
    found = []
    for root in training_folders(settings, fleet.fleet):
        runs: dict[str, list[Stored]] = {}
        for file in stored(root):
            runs.setdefault(file.place.removeprefix(f"{root}/").partition("/")[0], []).append(file)
        for run, files in runs.items():
            folder = f"{root}/{run}/{TRAINING_SET}"
            mine = [file.bytes for file in files if file.place.startswith(f"{folder}/")]
            if mine:
                found.append(PrunedSet(folder, sum(mine), max(file.at for file in files)))
    return found


def _newest(settings: Settings, fleet: FleetSpec) -> str | None:
    try:
        return newest_training_set(settings, fleet.fleet)
    except LakeError:
        return None


def _needed(settings: Settings, fleet: FleetSpec, folders: Iterable[str]) -> set[str]:
    """Return the sets that a version names, and the sets with the rows of a version whose own set is gone."""
    with client_of(settings) as client:
        versions = versions_of(client, fleet.fleet)
    tags = [v.tags for v in versions if "training_set" in v.tags]
    named = {place_of(settings, of["training_set"]): of.get("digest") for of in tags}
    lost = {digest for folder, digest in named.items() if not exists(f"{folder}/{DESCRIPTION}")}
    return {folder for folder in folders if folder in named or _digest(folder) in lost - {None}}


def _digest(folder: str) -> str | None:
    try:
        return read_info(folder).digest
    except LakeError:
        return None


def _delete(folder: str) -> None:
    """Delete the description first: without it the rest is not a training set, and a later pass deletes it after a kill."""
    delete(f"{folder}/{DESCRIPTION}")
    delete_folder(folder)
    if is_local(folder):
        with suppress(OSError):  # the model and its card are there
            Path(folder).parent.rmdir()
