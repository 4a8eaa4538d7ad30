from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from aimaas.settings import Settings
from aimaas.training.folders import name_of, place_of, training_folder


@pytest.mark.parametrize("lake", ["/srv/lake", "s3a://plant/lake/"])
def test_trainings_lie_in_the_lake_and_the_registry_names_them_so_that_it_can_be_moved(
    offline_settings: Settings, lake: str
) -> None:
    settings = replace(offline_settings, lake=lake)
    place = f"{training_folder(settings, 'pump', 'run-1')}/training_set"

    assert place == f"{lake.rstrip('/')}/pump/training/run-1/training_set"
    assert name_of(settings, place) == "lake:pump/training/run-1/training_set"
    moved = replace(settings, lake="s3a://other")
    assert place_of(moved, name_of(settings, place)) == "s3a://other/pump/training/run-1/training_set"


def test_sets_of_older_releases_are_named_below_the_home_and_others_by_their_place(
    offline_settings: Settings, tmp_path: Path
) -> None:
    old = offline_settings.home / "training" / "pump" / "run" / "training_set"
    assert name_of(offline_settings, old) == "training/pump/run/training_set"
    for place in (old, tmp_path / "mine", "s3a://mine/set"):
        assert place_of(offline_settings, name_of(offline_settings, place)) == str(place)
