"""A model as training ships it says of its predictions what they rest on."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from aimaas.model.artefact import sha256
from aimaas.records.events import Announcement
from aimaas.settings import Settings
from aimaas.training.training_set import read_training_set
from models.training.train import train
from stream.model.load import load_model
from stream.service.explanations import reasons
from tests.artefacts import stored
from tests.models.conftest import freeze, histories, labelled, pump_fleet


@pytest.mark.parametrize("classify", [False, True])
def test_predictions_of_worn_pumps_rest_on_the_channel_that_wear_shows_in(
    offline_settings: Settings, tmp_path: Path, classify: bool
) -> None:
    fleet = pump_fleet(classify=classify)
    rows = labelled(fleet, histories(40, seed=1))
    at, random = rows.schema.get_field_index("noise"), np.random.default_rng(2)
    rows = rows.set_column(at, "noise", pa.array(random.normal(0, 1, len(rows))))  # says nothing of wear
    folder = freeze(fleet, tmp_path / "training_set", rows)
    train(offline_settings, fleet, folder, tmp_path / "trained")
    path = stored(offline_settings, "model.onnx", (tmp_path / "trained" / "model.onnx").read_bytes())
    info, frozen = read_training_set(folder).info, read_training_set(folder).rows
    digest = sha256(path.read_bytes())
    made = Announcement("champion", "1", 1, str(path), digest, info.plan.hash, info.fit.id, datetime.now(UTC))
    model = load_model(made, fleet, offline_settings)

    worn = frozen.features[frozen.label == (1 if classify else 0)]
    explained = reasons(model, worn, model.predict(worn))

    assert len(explained) >= 40
    by_heat = [reason.strongest(1)[0]["channel"] == "heat" for reason in explained]
    assert np.mean(by_heat) > 0.95
    raises = [reason.effects["heat"] > 0 for reason in explained]
    assert np.mean(raises) > 0.95 if classify else np.mean(raises) < 0.05
