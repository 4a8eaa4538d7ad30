"""The training that was refused last, so that a schedule does not repeat it while nothing has changed.

One file of a fleet beside its trainings in the lake, `refused.json`; the next training that is not refused takes it away. The
features job writes it where there is nothing to fit to, training where it refuses the frozen set.
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
    """What a training depends on: the version of gold, the number of outcomes, the fleet file by its SHA-256, and our release."""

    gold_version: int | None
    outcomes: int
    fleet_file: str
    release: str


class Refused(msgspec.Struct, frozen=True):
    """A training that was refused, why, and when; notes of older releases do not say when."""

    attempt: Attempt
    why: str
    at: datetime | None = None


def attempt_of(fleet: FleetSpec, gold_version: int | None, outcomes: int) -> Attempt:
    """A training of this gold by this fleet file and release."""
    return Attempt(gold_version, outcomes, hashlib.sha256(fleet.model_dump_json().encode()).hexdigest(), release())


def note_refused(settings: Settings, fleet: str, refused: Refused) -> None:
    """Remember a refused training, in place of the one before."""
    write(_place(settings, fleet), msgspec.json.format(msgspec.json.encode(refused), indent=2))


def forget_refused(settings: Settings, fleet: str) -> None:
    """Say that the newest training was not refused."""
    delete(_place(settings, fleet))


def last_refused(settings: Settings, fleet: str) -> Refused | None:
    """The newest training, where it was refused; None too where the file cannot be read, so that a training runs."""
    try:
        return msgspec.json.decode(read(_place(settings, fleet)), type=Refused)
    except (OSError, LakeError, msgspec.DecodeError):
        return None


def refused_since(settings: Settings, fleet: str, began: datetime) -> Refused | None:
    """The newest training, where it was refused at `began` or later."""
    found = last_refused(settings, fleet)
    return found if found is not None and found.at is not None and found.at >= began else None


def _place(settings: Settings, fleet: str) -> str:
    return f"{training_folder(settings, fleet)}/{_FILE}"
