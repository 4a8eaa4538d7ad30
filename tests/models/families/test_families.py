"""What a fleet file may ask of each family: options, weights that are learned, members on shards of the devices."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aimaas.errors import TrainingRefusedError
from aimaas.fleet import FleetSpec
from aimaas.settings import Settings
from aimaas.training.training_set import read_training_set
from models.export.export import export, parity
from models.families.candidates import candidates_of, family_names, predict, settings_of
from models.families.shards import RunShards, dealt, in_turn, on_processes, on_spark, place_of_shards
from models.samples import Samples
from models.selection.select import fit_chosen
from models.selection.stacking import learned_weights
from models.task import target_range
from models.training.train import train
from tests.models.conftest import pump_fleet

MakeSet = Callable[..., Path]
NETWORK = {"networks": 1, "epochs": 10, "hidden": [16, 8]}
SHARDED = {"boosting": {"trees": 10, "shards": 3}}


@pytest.mark.parametrize("classify", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {"activation": "tanh", "adaptive": False},
        {"activation": "logistic", "solver": "sgd", "momentum": 0.8, "rate": 0.05},
        {"early_stopping": False, "patience": 1, "l2": 0.01, "batch": 64},
    ],
)
def test_a_network_of_any_kind_learns_and_ships_equal_to_scikit_learn(
    offline_settings: Settings, training_set: MakeSet, tmp_path: Path, options: dict[str, Any], classify: bool
) -> None:
    fleet = pump_fleet({"mlp": {**NETWORK, **options}}, classify)
    report = train(offline_settings, fleet, training_set(fleet), tmp_path / "trained")
    assert report.metrics["parity_max_rel"] <= 1e-5 and report.metrics["parity_max_rel_probes"] <= 1e-5
    assert report.metrics["rmse"] < report.metrics["baseline_rmse"]


@pytest.mark.parametrize("name", ["trees", "forest"])
def test_leaves_are_not_certain_and_less_so_the_fewer_rows_they_saw(name: str) -> None:
    fleet = pump_fleet({name: {"trees": 20, "min_rows": 1, "features": 1.0}}, classify=True)
    steps = np.array([0.0] * 200 + [1.0] * 40, np.float32)
    features = np.repeat(steps[:, None], 3, axis=1)
    samples = Samples(features, steps, np.arange(len(steps)).astype(str))
    model = fit_chosen(candidates_of(fleet), name, samples, 7)
    calm, failing = predict(model, np.repeat(np.arange(2, dtype=np.float32)[:, None], 3, axis=1))
    rate = 40 / 240
    if name == "trees":  # each of which sees all rows
        assert (calm, failing) == pytest.approx((rate / 201, (40 + rate) / 41), abs=1e-6)
    assert 0 < calm < 1 - failing < rate


def test_the_card_tells_the_options_that_follow_from_the_task() -> None:
    life, chance = (settings_of(pump_fleet({"mlp": {}}, classify), "mlp") for classify in (False, True))
    assert (life["loss"], life["l2"], life["auxiliary"]) == ("mse", 2.0, (0.2, 0.5))
    assert (chance["loss"], chance["l2"], chance["auxiliary"]) == ("cross_entropy", 0.1, ())


def test_a_probability_has_no_capped_targets_to_learn() -> None:
    wrong = pump_fleet({"mlp": {"auxiliary": [0.5]}}, classify=True)
    with pytest.raises(TrainingRefusedError, match=r"mlp\.auxiliary: found \[0\.5\], allowed for this task: \[\]"):
        candidates_of(wrong)


@pytest.mark.parametrize(
    ("candidates", "message"),
    [
        ({"mlp": {"activation": "sine"}}, r"mlp\.activation: found 'sine', allowed: .*'relu', 'tanh' or 'logistic'"),
        ({"mlp": {"solver": "lbfgs"}}, r"mlp\.solver: found 'lbfgs', allowed: .*'adam' or 'sgd'"),
        ({"mlp": {"momentum": 1}}, r"mlp\.momentum: found 1, allowed: .*less than 1"),
        ({"mlp": {"loss": "cross_entropy"}}, r"mlp\.loss: found 'cross_entropy', allowed for this task: 'mse'"),
        ({"mlp": {"early_stopping": "often"}}, r"mlp\.early_stopping: found 'often', allowed: "),
        ({"mlp": {"auxiliary": [1.0]}}, r"mlp\.auxiliary\.0: found 1\.0, allowed: .*less than 1"),
        ({"boosting": {"shards": 0}}, r"boosting\.shards: found 0, allowed: a whole number from 1"),
        ({"boosting": {"seeds": True}}, r"boosting\.seeds: found True, allowed: a whole number from 1"),
        (
            {"boosting": {}, "stack": {}},
            r"stack\.of: found \['boosting'\], allowed: a list of at least two of boosting",
        ),
        ({"boosting": {}, "stack": {"weights": [1]}}, r"stack\.weights: no such key; allowed: of"),
    ],
)
def test_a_wrong_option_is_one_clear_line(candidates: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainingRefusedError, match=rf"^fleets/pump\.yaml: training\.candidates\.{message}"):
        candidates_of(pump_fleet(candidates))


@pytest.mark.parametrize("classify", [False, True])
def test_a_stack_learns_its_weights_from_devices_that_its_members_have_not_seen_and_ships_as_one_file(
    offline_settings: Settings, training_set: MakeSet, tmp_path: Path, classify: bool
) -> None:
    fleet = pump_fleet({"ridge": {}, "boosting": {"trees": 30}, "trees": {"trees": 10}}, classify)
    stacked = pump_fleet({**fleet.training.candidates, "stack": {"of": ["ridge", "boosting", "trees"]}}, classify)
    report = train(offline_settings, stacked, training_set(stacked), tmp_path / "trained")
    by_name = {c.name: c for c in report.candidates}
    weights = by_name["stack"].weights
    assert sum(weights.values()) == pytest.approx(1) and min(weights.values()) >= 0
    assert by_name["stack"].cross_validated < 1.02 * min(by_name[n].cross_validated for n in fleet.training.candidates)
    shipped = fit_chosen(candidates_of(stacked), "stack", samples(training_set(stacked)), 7, weights)
    assert [name for name, _ in shipped.estimators] == [name for name, weight in weights.items() if weight > 0]


@pytest.mark.parametrize("classify", [False, True])
def test_the_stack_that_ships_equals_scikit_learn(training_set: MakeSet, classify: bool) -> None:
    fleet = pump_fleet({"mlp": NETWORK, "boosting": {"trees": 20}, "ridge": {}, "stack": {}}, classify)
    data, weights = samples(training_set(fleet)), {"mlp": 0.3, "boosting": 0.7}
    stack = fit_chosen(candidates_of(fleet), "stack", data, 7, weights)
    parts = [fit_chosen(candidates_of(fleet), name, data, 7) for name in weights]
    wanted = np.average([predict(p, data.features) for p in parts], axis=0, weights=list(weights.values()))
    assert np.allclose(predict(stack, data.features), wanted)
    assert exported_parity(fleet, stack, data) <= 1e-5


def exported_parity(fleet: FleetSpec, estimator: Any, data: Samples) -> float:
    content = export(estimator, data.features.shape[1], target_range(fleet))
    return parity(content, estimator, data.features, target_range(fleet)).max_rel


def test_weights_go_to_the_members_that_help() -> None:
    random = np.random.default_rng(1)
    truth = random.normal(100, 20, 2_000)
    good, fair, noise = (truth + random.normal(0, s, 2_000) for s in (5, 10, 200))
    weights = learned_weights(np.stack([good, fair, noise], axis=1), truth, classify=False)
    assert weights == pytest.approx([0.8, 0.2, 0], abs=0.05)  # the inverse variances
    assert weights[2] == 0
    happened = (random.random(2_000) < 0.3).astype(np.float64)
    sharp, mean = np.clip(happened, 0.1, 0.9), np.full(2_000, 0.3)
    assert learned_weights(np.stack([sharp, mean], axis=1), happened, classify=True) == pytest.approx([1, 0])


def samples(folder: Path) -> Samples:
    return Samples.of(read_training_set(folder).rows.of("train"))


def sharded(fleet: FleetSpec, data: Samples, run: RunShards) -> Any:
    estimator = fit_chosen(candidates_of(fleet, run), "boosting", data, 7)
    assert [name for name, _ in estimator.estimators] == ["shard_1", "shard_2", "shard_3"]
    return estimator


@pytest.mark.parametrize("classify", [False, True])
def test_each_shard_holds_whole_devices_with_both_labels(training_set: MakeSet, classify: bool) -> None:
    data = samples(training_set(pump_fleet(classify=classify)))
    parts = dealt(data, 3, 7, classify)
    devices = [set(part.devices) for part in parts]
    assert sum(map(len, devices)) == len(set.union(*devices)) == len(set(data.devices))
    assert sum(map(len, parts)) == len(data)
    assert all(len(set(part.targets)) > 1 for part in parts)
    with pytest.raises(TrainingRefusedError, match=r"shards: found 20, but \d+ devices .* lower it, or wait"):
        dealt(data, 20, 7, classify)


def test_processes_train_the_same_members_and_their_mean_ships_as_one_file(
    offline_settings: Settings, training_set: MakeSet
) -> None:
    fleet = pump_fleet(SHARDED)
    data, run = samples(training_set(fleet)), place_of_shards(offline_settings)
    assert run is on_processes  # no cluster is named
    here, there = sharded(fleet, data, in_turn), sharded(fleet, data, run)
    assert np.array_equal(predict(here, data.features), predict(there, data.features))
    assert exported_parity(fleet, there, data) <= 1e-5


def test_a_member_is_taken_when_it_is_there_and_not_in_its_turn(tmp_path: Path) -> None:
    first, second = (partial(wait_and_make, tmp_path / a, tmp_path / b) for a, b in (("go", "a"), (".", "b")))
    arrivals = on_processes([first, second])
    assert next(arrivals) == (1, "b")
    (tmp_path / "go").touch()
    assert next(arrivals) == (0, "a")


def wait_and_make(wanted: Path, made: Path) -> str:
    import time

    limit = time.monotonic() + 30
    while not wanted.exists() and time.monotonic() < limit:
        time.sleep(0.05)
    made.touch()
    return made.name


@pytest.mark.long
@pytest.mark.spark
def test_spark_tasks_train_the_same_members(spark: Any, training_set: MakeSet) -> None:
    fleet = pump_fleet(SHARDED)
    data = samples(training_set(fleet))
    here, there = (sharded(fleet, data, run) for run in (in_turn, partial(on_spark, spark)))
    assert np.array_equal(predict(here, data.features), predict(there, data.features))


@pytest.mark.spark
def test_a_spark_task_that_fails_says_why_in_one_line(spark: Any) -> None:
    with pytest.raises(TrainingRefusedError, match=r"^a Spark task .* failed: ValueError: no room here; .* memory$"):
        list(on_spark(spark, [no_room]))


def no_room() -> None:
    raise ValueError("no room here")


def test_the_documentation_names_every_option_of_every_candidate() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "reference" / "candidates.md").read_text(encoding="utf-8")
    for name in family_names():
        row = next(line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
        options = settings_of(pump_fleet({name: {}}), name)
        assert [o for o in options if f"`{o}`" not in row] == []


@pytest.mark.parametrize("classify", [False, True])
def test_several_seeds_ship_as_the_mean_of_models_that_drew_other_numbers_from_the_same_rows(
    training_set: MakeSet, classify: bool
) -> None:
    fleet = pump_fleet({"boosting": {"trees": 10, "seeds": 3}, "mlp": {**NETWORK, "seeds": 2}, "blend": {}}, classify)
    data = samples(training_set(fleet))
    blend = fit_chosen(candidates_of(fleet), "blend", data, 7)
    boosted, networks = blend.estimators_
    assert [name for name, _ in boosted.estimators] == ["seed_1", "seed_2", "seed_3"]
    assert [name for name, _ in networks.estimators] == ["seed_1", "seed_2"]
    answers = [predict(one, data.features) for one in boosted.estimators_]
    assert all(np.abs(answers[0] - other).max() > 0 for other in answers[1:])
    alone = fit_chosen(candidates_of(pump_fleet({"boosting": {"trees": 10}}, classify)), "boosting", data, 7)
    assert np.array_equal(answers[0], predict(alone, data.features))
    assert exported_parity(fleet, blend, data) <= 1e-5
    assert settings_of(fleet, "boosting")["seeds"] == 3
