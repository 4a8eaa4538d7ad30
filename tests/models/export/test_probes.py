"""At the edges of what a device can send the exported file still says what the model says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnxruntime.quantization import quantize_dynamic

from aimaas.errors import GateFailedError
from aimaas.settings import Settings
from aimaas.training.training_set import TrainingSet, read_training_set
from models.compression.graphs import optimised
from models.export.export import export, parity
from models.export.measure import check_cuts
from models.export.probes import probes_of, thresholds
from models.families.candidates import candidates_of
from models.samples import Samples
from models.selection.select import fit_chosen
from models.task import target_range
from models.training import train as training
from models.training.train import train
from tests.models.conftest import pump_fleet

MakeSet = Callable[..., Path]
FAMILIES = {"ridge": {}, "boosting": {"trees": 40}, "mlp": {"epochs": 5}, "trees": {"trees": 20}}


def made(fleet: Any, folder: Path, name: str) -> tuple[TrainingSet, Any, bytes]:
    frozen = read_training_set(folder)
    estimator = fit_chosen(candidates_of(fleet), name, Samples.of(frozen.rows.of("train")), 7)
    return frozen, estimator, export(estimator, frozen.rows.features.shape[1], target_range(fleet))


@pytest.mark.parametrize("classify", [False, True])
@pytest.mark.parametrize("name", list(FAMILIES))
def test_every_family_is_equal_at_thresholds_extremes_and_borders(
    training_set: MakeSet, name: str, classify: bool
) -> None:
    fleet = pump_fleet({name: FAMILIES[name]}, classify)
    frozen, estimator, content = made(fleet, training_set(fleet), name)
    probes = probes_of(content, fleet, frozen.info.plan, frozen.info.fit, frozen.rows.features, 7)
    assert len(probes.names) == len(probes.features) == len(probes.reach)
    found = parity(content, estimator, probes.features, target_range(fleet), probes.reach)
    assert found.max_rel <= 1e-5, probes.names[found.row]
    assert (probes.reach.max() == 1) == (name in ("boosting", "trees")), (
        "only what sums features may differ more far out"
    )


def test_thresholds_are_met_exactly_and_from_both_sides(training_set: MakeSet) -> None:
    fleet = pump_fleet({"boosting": {"trees": 5}})
    frozen, _, content = made(fleet, training_set(fleet), "boosting")
    known = thresholds(content)
    assert 5 <= len(known) == len(set(known))
    probes = probes_of(content, fleet, frozen.info.plan, frozen.info.fit, frozen.rows.features, 7)
    for feature, value in known:
        sides = {np.nextafter(value, np.float32(-np.inf)), value, np.nextafter(value, np.float32(np.inf))}
        assert sides <= set(probes.features[:, feature])


def test_extremes_of_the_readings_and_filled_nulls_are_among_the_probes(training_set: MakeSet) -> None:
    sensors = {
        "heat": {"name": "t", "unit": "K", "range": [200, 500]},
        "noise": {"name": "v", "unit": "1", "range": [-100, 100], "nullable": True, "fill": 12.5},
    }
    fleet = pump_fleet(sensors=sensors, features={})
    frozen, _, content = made(fleet, training_set(fleet), "ridge")
    fit = frozen.info.fit
    probes = probes_of(content, fleet, frozen.info.plan, fit, frozen.rows.features, 7).features
    for column, values in ((0, (200, 500)), (1, (-100, 100, 12.5))):
        normal = [(v - fit.means[0][column]) * fit.scales[0][column] for v in values]
        assert all(np.isclose(probes[:, column], v, rtol=1e-5).any() for v in normal)
    assert np.isfinite(probes).all()


def test_the_smallest_float32_of_either_sign_are_among_the_probes(training_set: MakeSet) -> None:
    fleet = pump_fleet({"ridge": {}})
    frozen, _, content = made(fleet, training_set(fleet), "ridge")
    probes = probes_of(content, fleet, frozen.info.plan, frozen.info.fit, frozen.rows.features, 7)
    small = {row[0] for row in probes.features.tolist() if len(set(row)) == 1}
    known = np.finfo(np.float32)
    assert {0.0, *(sign * float(v) for sign in (1, -1) for v in (known.tiny, known.smallest_subnormal))} <= small


def test_an_answer_that_depends_on_its_batch_stops_a_file_and_the_row_is_named(
    training_set: MakeSet, tmp_path: Path
) -> None:
    fleet = pump_fleet({"mlp": FAMILIES["mlp"]})
    frozen, _, content = made(fleet, training_set(fleet), "mlp")
    check_cuts(fleet, frozen, content)
    quantize_dynamic(
        onnx.load_model_from_string(optimised(content)),
        tmp_path / "dynamic.onnx",
        op_types_to_quantize=["Gemm", "MatMul"],
    )
    with pytest.raises(
        GateFailedError, match=r"depends on how many rows .*: at device pump-\d+, run 0, order \d+; nothing"
    ):
        check_cuts(fleet, frozen, (tmp_path / "dynamic.onnx").read_bytes())


def test_a_threshold_that_the_export_moved_fails_the_gate_and_is_named(
    offline_settings: Settings, training_set: MakeSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = pump_fleet({"boosting": {"trees": 20}})

    def moved(*args: Any) -> bytes:
        """An export that rounds thresholds up instead of down, which real rows do not notice."""
        model = onnx.load_model_from_string(export(*args))
        for node in model.graph.node:
            for attribute in node.attribute:
                if attribute.name == "nodes_values":
                    up = np.nextafter(np.array(attribute.floats, np.float32), np.float32(np.inf))
                    attribute.floats[:] = up.tolist()
        content: bytes = model.SerializeToString()
        return content

    monkeypatch.setattr(training, "export", moved)
    with pytest.raises(
        GateFailedError, match=r"worst at \w+\.\w+ below, at and above the threshold .*nothing was shipped"
    ):
        train(offline_settings, fleet, training_set(fleet), tmp_path / "out")
    assert not (tmp_path / "out").exists()
