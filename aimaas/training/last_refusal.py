"""The last refused training, so that a schedule does not repeat it while its inputs are the same.

Each fleet has at most one file `refused.json`, beside its trainings in the lake. The features job writes it if there are no rows
for a fit, training writes it if it refuses the frozen set. The next training that is not refused deletes it.
"""

from __future__ import annotations

import hashlib
from datetime import datetime

import msgspec

from aimaas.errors import LakeError
from aimaas.fleet import FleetSpec
from aimaas.release import release
from aimaas.settings import Settings
from aimaas.stored_files import delete, read, write
from aimaas.training.folders import training_folder

_FILE = "refused.json"


class Attempt(msgspec.Struct, frozen=True):
    """The inputs of a training: the version of gold, the number of outcomes, the SHA-256 of the fleet file, and our release."""

    gold_version: int | None
    outcomes: int
    fleet_file: str
    release: str


class Refused(msgspec.Struct, frozen=True):
    """A refused training, the reason and the time; files of older releases have no time."""

    attempt: Attempt
    why: str
    at: datetime | None = None


def attempt_of(fleet: FleetSpec, gold_version: int | None, outcomes: int) -> Attempt:
    """The inputs of a training with this gold, this fleet file and this release."""
    return Attempt(gold_version, outcomes, hashlib.sha256(fleet.model_dump_json().encode()).hexdigest(), release())


def note_refused(settings: Settings, fleet: str, refused: Refused) -> None:
    """Write a refused training in place of the one before."""
    write(_place(settings, fleet), msgspec.json.format(msgspec.json.encode(refused), indent=2))


def forget_refused(settings: Settings, fleet: str) -> None:
    """Delete the file, because the newest training was not refused."""
    delete(_place(settings, fleet))


def last_refused(settings: Settings, fleet: str) -> Refused | None:
    """The newest training if it was refused, else None. Also None if the file cannot be read, so that a training runs."""
    try:
        return msgspec.json.decode(read(_place(settings, fleet)), type=Refused)
    except (OSError, LakeError, msgspec.DecodeError):
        return None


def refused_since(settings: Settings, fleet: str, began: datetime) -> Refused | None:
    """The newest training if it was refused at `began` or later, else None."""
    found = last_refused(settings, fleet)
    return found if found is not None and found.at is not None and found.at >= began else None


def _place(settings: Settings, fleet: str) -> str:
    return f"{training_folder(settings, fleet)}/{_FILE}"
