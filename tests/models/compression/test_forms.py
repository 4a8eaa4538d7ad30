"""Each form of a model is smaller or faster, and answers nearly as the model does."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import onnx
import pytest
from onnxruntime.quantization import quantize_dynamic

from models.compression.choose import cheapest
from models.compression.cost import branches_of, cost_of
from models.compression.forms import Source, forms_of
from models.compression.smaller import has_networks, has_trees, parts_of, pruned
from models.export.export import run_onnx
from models.export.plain_session import cut_differently
from models.families.candidates import candidates_of, predict
from models.families.mean import mean_of
from models.families.vector_only import vector_only
from models.samples import Samples
from models.selection.select import fit_chosen
from tests.models.conftest import pump_fleet

CANDIDATES = {
    "ridge": {},
    "boosting": {"trees": 24},
    "trees": {"trees": 12},
    "mlp": {"epochs": 8, "networks": 2},
    "blend": {},
}
RANGE = (0.0, 40.0)


def samples(classify: bool = False, rows: int = 800) -> Samples:
    random = np.random.default_rng(0)
    features = random.normal(size=(rows, 6)).astype(np.float32) * 3 + 5
    wear = features[:, 0] * 3 + np.abs(features[:, 1])
    targets = wear > np.quantile(wear, 0.8) if classify else np.clip(wear, *RANGE)
    return Samples(features, targets.astype(np.float32), np.array([f"d-{i % 20}" for i in range(rows)]))


@cache
def source(name: str, classify: bool = False) -> Source:
    fleet = pump_fleet(CANDIDATES, classify)
    given = samples(classify)
    return Source(fit_chosen(candidates_of(fleet), name, given, 7), given, (0.0, 1.0) if classify else RANGE, 7)


def operators(content: bytes) -> list[str]:
    return [node.op_type for node in onnx.load_model_from_string(content).graph.node]


@pytest.mark.parametrize(
    ("name", "classify"), [("ridge", True), ("boosting", False), ("trees", True), ("blend", False), ("blend", True)]
)
def test_every_form_of_a_candidate_is_made_and_answers_near_the_model_whatever_the_batch(
    name: str, classify: bool
) -> None:
    given = source(name, classify)
    expected = np.clip(predict(given.estimator, given.samples.features), *given.target_range)
    for form, build in forms_of(given).items():
        content = build(given)
        answers = run_onnx(content, given.samples.features)
        exact = form in ("plain", "optimised")
        largest = 1e-5 * given.target_range[1] if exact else np.std(given.samples.targets)
        assert np.sqrt(np.mean((answers - expected) ** 2)) < largest, form
        assert len(cut_differently(content, given.samples.features)) == 0, form
        if exact or form == "int8":
            assert content == build(given), form


def test_a_linear_model_is_not_replaced_by_something_larger() -> None:
    assert list(forms_of(source("ridge"))) == ["plain", "optimised"]


def test_the_optimised_graph_of_networks_has_its_scalers_in_the_first_layers_and_fewer_nodes() -> None:
    given = source("blend")
    plain, better = operators(given.plain), operators(given.optimised)
    assert plain.count("Scaler") == 2 and "Scaler" not in better and "MatMul" not in better
    assert len(better) < len(plain)
    assert cost_of(given.optimised) < cost_of(given.plain)


def test_pruned_networks_have_half_the_neurons_and_are_tuned_again() -> None:
    given = source("mlp")
    small = pruned(given.estimator, given.samples, 7)
    assert [p.hidden_layer_sizes for p in parts_of(small)] == [(64, 32, 16)] * 2
    before, after = (predict(model, given.samples.features) for model in (given.estimator, small))
    assert np.corrcoef(before, after)[0, 1] > 0.9


def test_every_node_that_a_row_passes_in_a_tree_is_counted() -> None:
    shallow, deep = (_boosted(trees=8, leaves=leaves) for leaves in (2, 16))
    assert branches_of(tree_node(shallow)) == 8
    assert branches_of(tree_node(deep)) > 8 * 3


def _boosted(**settings: int) -> bytes:
    fleet = pump_fleet({"boosting": settings})
    return Source(fit_chosen(candidates_of(fleet), "boosting", samples(), 7), samples(), RANGE, 7).plain


def tree_node(content: bytes) -> Any:
    return next(n for n in onnx.load_model_from_string(content).graph.node if n.op_type.startswith("Tree"))


def test_dynamic_quantisation_shows_that_its_answers_depend_on_the_batch(tmp_path: Any) -> None:
    given = source("mlp")
    quantize_dynamic(
        onnx.load_model_from_string(given.optimised), tmp_path / "dynamic.onnx", op_types_to_quantize=["Gemm", "MatMul"]
    )
    assert len(cut_differently((tmp_path / "dynamic.onnx").read_bytes(), given.samples.features)) > 0


@pytest.mark.parametrize(
    ("allowance", "ships"),
    [(0.0, "plain"), (0.02, "half"), (0.2, "tiny")],
)
def test_the_cheapest_within_the_allowance_ships(allowance: float, ships: str) -> None:
    errors = {"plain": 10.0, "half": 10.1, "tiny": 11.9, "dear": 10.05}
    costs = {"plain": 5.0, "half": 2.0, "tiny": 1.0, "dear": 9.0}
    assert cheapest(errors, costs, allowance) == ships


def test_members_that_are_shown_the_vector_alone_are_made_smaller_like_others() -> None:
    given = samples()
    blend = source("blend").estimator
    named = [(name, vector_only(m, 6)) for (name, _), m in zip(blend.estimators, blend.estimators_, strict=True)]
    beside_a_window = mean_of(named)
    assert has_trees(beside_a_window)
    assert has_networks(beside_a_window)
    wider = np.hstack([given.features, given.features])
    tuned = pruned(beside_a_window, Samples(wider, given.targets, given.devices), 7)
    assert np.array_equal(predict(tuned, wider), predict(pruned(blend, given, 7), given.features))
