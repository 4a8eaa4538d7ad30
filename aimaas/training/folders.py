"""The folders of trainings: `<lake>/<fleet>/training/<run>/` holds the frozen `training_set` and the `trained` model.

A features job on a cluster writes on the workers, and training and registration may each run on another machine. So the files that
one hands to the next are beside the tables. Older releases kept them in `<home>/training/<fleet>`: those sets are found too.

The registry names a set by its path below the lake (`lake:…`) or, in older versions, below the home, so that both can be moved.
"""

from __future__ import annotations

from pathlib import Path

from aimaas.settings import Settings
from aimaas.stored_files import Place, is_local

TRAINING, TRAINING_SET, TRAINED = "training", "training_set", "trained"
_LAKE = "lake:"


def training_folder(settings: Settings, fleet: str, run: str = "") -> str:
    """Path or URI of the files of a training run of the fleet; without `run`, of all its runs."""
    return "/".join([_lake(settings), fleet, TRAINING, *([run] if run else [])])


def training_folders(settings: Settings, fleet: str) -> list[str]:
    """The folders that may hold trainings of the fleet: in the lake, and below the home, where older releases put them."""
    return [training_folder(settings, fleet), str(settings.home / TRAINING / fleet)]


def name_of(settings: Settings, place: Place) -> str:
    """The registry's name of a training set: below the lake or the home if it is there, otherwise its whole address."""
    text = str(Path(place).absolute()) if is_local(place) else str(place)
    if text.startswith(f"{_lake(settings)}/"):
        return _LAKE + text.removeprefix(f"{_lake(settings)}/")
    return text.removeprefix(f"{settings.home}/")


def place_of(settings: Settings, name: str) -> str:
    """Path or URI of the training set with this name in the registry."""
    if name.startswith(_LAKE):
        return f"{_lake(settings)}/{name.removeprefix(_LAKE)}"
    return str(settings.home / name) if is_local(name) else name


def _lake(settings: Settings) -> str:
    return str(Path(settings.lake).absolute()) if is_local(settings.lake) else settings.lake.rstrip("/")
