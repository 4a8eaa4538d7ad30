"""Where trainings lie: `<lake>/<fleet>/training/<run>/` holds the frozen `training_set` and what was `trained` on it.

A features job on a cluster writes on the workers, and training and registering may each run on another machine. So what one hands
on to the next lies with the tables. Older releases kept it in `<home>/training/<fleet>`: those sets are found too.

The registry names a set by its place below the lake (`lake:…`) or, in older versions, below the home, so that both can be moved.
"""

from __future__ import annotations

from pathlib import Path

from aimaas.settings import Settings
from aimaas.stored_files import Place, is_local

TRAINING, TRAINING_SET, TRAINED = "training", "training_set", "trained"
_LAKE = "lake:"


def training_folder(settings: Settings, fleet: str, run: str = "") -> str:
    """Path or URI of what a run of the fleet's training hands on; without `run` that of all of them."""
    return "/".join([_lake(settings), fleet, TRAINING, *([run] if run else [])])


def training_folders(settings: Settings, fleet: str) -> list[str]:
    """Where trainings of the fleet may lie: in the lake, and below the home, where older releases put them."""
    return [training_folder(settings, fleet), str(settings.home / TRAINING / fleet)]


def name_of(settings: Settings, place: Place) -> str:
    """How the registry names a training set: below the lake or the home where it lies there, else by its whole place."""
    text = str(Path(place).absolute()) if is_local(place) else str(place)
    if text.startswith(f"{_lake(settings)}/"):
        return _LAKE + text.removeprefix(f"{_lake(settings)}/")
    return text.removeprefix(f"{settings.home}/")


def place_of(settings: Settings, name: str) -> str:
    """Path or URI of the training set that the registry names so."""
    if name.startswith(_LAKE):
        return f"{_lake(settings)}/{name.removeprefix(_LAKE)}"
    return str(settings.home / name) if is_local(name) else name


def _lake(settings: Settings) -> str:
    return str(Path(settings.lake).absolute()) if is_local(settings.lake) else settings.lake.rstrip("/")
