from __future__ import annotations

import numpy as np
from sklearn.neural_network import MLPRegressor

from models.families.network import Schedule, fit_network, fit_standardised
from models.samples import Samples


def samples(devices: int = 12, rows: int = 60) -> Samples:
    random = np.random.default_rng(3)
    features = random.normal(size=(devices * rows, 4)).astype(np.float32)
    targets = (100 + 20 * features[:, 0]).astype(np.float32)
    return Samples(features, targets, np.repeat([f"d{i}" for i in range(devices)], rows))


def network(alpha: float = 1e-3) -> MLPRegressor:
    return MLPRegressor(hidden_layer_sizes=(16,), learning_rate_init=1e-2, batch_size=64, random_state=1, alpha=alpha)


def test_the_scale_of_the_target_ends_up_in_the_last_layer() -> None:
    found, data = network(), samples()
    fit_standardised(found, data, Schedule(epochs=30, patience=3), seed=1)
    assert np.sqrt(np.mean((found.predict(data.features) - data.targets) ** 2)) < 4
    assert all(weights.dtype == np.float32 for weights in (*found.coefs_, *found.intercepts_))


def test_training_stops_when_the_held_out_devices_get_no_better() -> None:
    data = samples()
    noise = Samples(data.features, np.random.default_rng(0).normal(size=len(data)).astype(np.float32), data.devices)
    found = network()
    fit_network(found, noise, None, Schedule(epochs=500, patience=2), seed=1)
    assert found.t_ / len(noise) < 60  # passes over the rows


def test_one_fit_is_like_the_next() -> None:
    first, second = network(), network()
    for each in (first, second):
        fit_standardised(each, samples(), Schedule(epochs=5, patience=3), seed=1)
    assert all(np.array_equal(a, b) for a, b in zip(first.coefs_, second.coefs_, strict=True))


def test_a_network_that_learned_capped_targets_too_answers_with_the_target_alone() -> None:
    found, data = network(), samples()
    fit_standardised(found, data, Schedule(epochs=30, patience=3), seed=1, auxiliary=(0.2, 0.5))
    assert found.predict(data.features).shape == (len(data),)
    assert [len(b) for b in found.intercepts_] == [16, 1]
    assert np.sqrt(np.mean((found.predict(data.features) - data.targets) ** 2)) < 4


def test_weighted_rows_count_in_all_outputs() -> None:
    data, random = samples(), np.random.default_rng(5)
    wrong = random.random(len(data)) < 0.4
    targets = np.where(wrong, random.permutation(data.targets), data.targets).astype(np.float32)
    found = network()
    weighted = Samples(data.features, targets, data.devices, np.where(wrong, 1e-3, 1).astype(np.float32))
    fit_standardised(found, weighted, Schedule(epochs=30, patience=3), seed=1, auxiliary=(0.9,))
    assert np.sqrt(np.mean((found.predict(data.features) - data.targets)[~wrong] ** 2)) < 4
