"""What holds of fleets with sequence models also where PyTorch is not installed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from aimaas.errors import TrainingRefusedError
from aimaas.fleet.candidate_families import SEQUENCE_FAMILIES
from aimaas.training.training_set import read_training_set
from models.export.export import export, parity
from models.families.candidates import candidates_of, family_names
from models.families.mean import mean_of
from models.families.vector_only import vector_only, without_window
from models.samples import Samples
from models.selection.select import fit_alone
from tests.models.conftest import CAP, pump_fleet


def test_without_pytorch_a_candidate_that_needs_it_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.families.deep.families.find_spec", lambda name: None)
    with pytest.raises(TrainingRefusedError) as caught:
        candidates_of(pump_fleet({"ridge": {}, "lstm": {}}))
    assert str(caught.value) == (
        "fleets/pump.yaml: training.candidates.lstm: it needs PyTorch and skorch, which are not installed; "
        "install them with: pip install 'aimaas[deep]'"
    )
    assert not set(SEQUENCE_FAMILIES) & set(family_names())


def test_a_sequence_model_needs_windows() -> None:
    with pytest.raises(ValidationError, match=r"training\.candidates\.gru: it needs a window: give features\.window"):
        pump_fleet({"gru": {}}, features={})


@pytest.mark.parametrize("classify", [False, True])
def test_models_of_the_vector_beside_a_sequence_model_export_to_one_graph_over_the_whole_row(
    training_set: Callable[..., Path], classify: bool
) -> None:
    plain = pump_fleet({"ridge": {}, "boosting": {"trees": 10}}, classify)
    rows = Samples.of(read_training_set(training_set(pump_fleet({"cnn": {}}, classify))).rows)
    width = read_training_set(training_set(plain)).rows.features.shape[1]
    fitted = [(c.name, vector_only(fit_alone(c, rows.first(width), 7), width)) for c in candidates_of(plain)]
    blend, between = mean_of(fitted), (0.0, 1.0 if classify else CAP)

    content = export(blend, rows.features.shape[1], between)

    assert parity(content, blend, rows.features, between).max_rel < 1e-6
    shown = np.ascontiguousarray(rows.features[:, :width])
    simpler = without_window(blend)
    assert parity(export(simpler, width, between), simpler, shown, between).max_rel < 1e-6
    assert without_window(fitted[0][1]) is fitted[0][1].inner
