"""Training sets that held a forgotten device, in a lake that is a folder and in one that is a URI."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from aimaas.errors import LakeError
from aimaas.settings import Settings
from aimaas.training.folders import training_folder
from aimaas.training.training_set import read_training_set
from tests.models.conftest import freeze, histories, labelled, pump_fleet
from upkeep.erasing.device import Device
from upkeep.erasing.leftovers import find_sets, void


@pytest.mark.parametrize("lake", ["{}", "file://{}"])
def test_a_set_with_a_forgotten_device_is_void_its_rows_and_card_are_gone(
    offline_settings: Settings, lake: str
) -> None:
    fleet, settings = pump_fleet(), replace(offline_settings, lake=lake.format(offline_settings.lake))
    folder = Path(training_folder(offline_settings, fleet.fleet, "run")) / "training_set"
    freeze(fleet, folder, labelled(fleet, histories(12, 1)))
    card = folder.parent / "trained" / "card" / "model_card.html"
    card.parent.mkdir(parents=True)
    card.write_text("pictures of single devices")
    device = Device(str(read_training_set(folder).rows.device_id[0]))

    (found,) = find_sets(settings, fleet, device)
    void(found, datetime.now(UTC))

    assert found.folder == lake.format(folder)
    assert found.rows > 0
    assert not card.exists()
    assert list((folder / "rows").iterdir()) == []
    with pytest.raises(LakeError, match="void"):
        read_training_set(found.folder)
    assert find_sets(settings, fleet, device) == []
