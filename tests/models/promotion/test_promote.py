from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aimaas.errors import RegistryError
from aimaas.fleet import FleetSpec
from aimaas.registry.versions import list_models, register, set_champion, sync_champion, unveto, veto
from aimaas.settings import Settings
from aimaas.training.training_set import read_training_set
from models.export.export import run_onnx
from models.promotion import promote as promotion
from models.promotion.compare import compare as side_by_side
from models.promotion.promote import features_for, metadata_of, promote, recomputed
from models.training.train import train
from tests.models.conftest import pump_fleet

MakeSet = Callable[..., Path]
BAD = {"ridge": {"l2": 1e7}}
GOOD = {"boosting": {"trees": 60, "min_rows": 20}}


def registered(settings: Settings, fleet: FleetSpec, folder: Path, name: str) -> str:
    train(settings, fleet, folder, settings.home / name)
    return register(settings, fleet, settings.home / name)


def test_a_better_challenger_replaces_the_champion_and_a_worse_one_does_not(
    registry: Settings, training_set: MakeSet
) -> None:
    folder = training_set(pump_fleet())
    weak, strong = (registered(registry, pump_fleet(c), folder, n) for c, n in ((BAD, "weak"), (GOOD, "strong")))
    first = promote(registry, pump_fleet(), weak)
    assert (first.promoted, first.champion_error, first.sequence) == (True, None, 1)
    second = promote(registry, pump_fleet(), strong)
    assert second.promoted and second.sequence == 2
    assert second.champion_error == pytest.approx(first.challenger_error, rel=1e-6)
    back = promote(registry, pump_fleet(), weak)
    assert not back.promoted
    assert "is not below" in back.reason and "champion version 2" in back.reason
    assert [(r.version, r.aliases) for r in list_models(registry, pump_fleet())] == [
        ("2", ("champion",)),
        ("1", ("challenger",)),
    ]


def test_the_gate_asks_for_an_improvement(registry: Settings, training_set: MakeSet) -> None:
    strict = pump_fleet(gates={"improvement": 0.99})
    folder = training_set(strict)
    weak, strong = (registered(registry, pump_fleet(c), folder, n) for c, n in ((BAD, "weak"), (GOOD, "strong")))
    assert promote(registry, strict, weak).promoted
    found = promote(registry, strict, strong)
    assert not found.promoted and "champion version 1 less 99.0% (gates.improvement)" in found.reason


def seeded(seed: int, **gates: float) -> FleetSpec:
    fleet = pump_fleet(GOOD, gates=gates)
    return fleet.model_copy(update={"training": fleet.training.model_copy(update={"seed": seed})})


def test_a_challenger_that_is_better_by_chance_only_does_not_replace_the_champion(
    registry: Settings, training_set: MakeSet
) -> None:
    folder = training_set(pump_fleet())
    first, second = (registered(registry, seeded(s), folder, f"seed-{s}") for s in (6, 8))
    promote(registry, seeded(4), first)
    found = promote(registry, seeded(4), second)
    assert found.champion_error is not None and found.challenger_error < found.champion_error
    assert not found.promoted and found.p_value is not None and 0.05 < found.p_value < 0.5
    assert re.search(r"p = 0\.\d+ over \d devices, and look 1 needs p below 0\.013", found.reason)
    assert list_models(registry, seeded(4))[0].aliases == ("challenger",)
    assert (
        promote(registry, seeded(4), second).reason == found.reason
    )  # a task that is tried again takes no second look


def test_without_false_promotions_only_a_person_promotes(registry: Settings, training_set: MakeSet) -> None:
    strict = pump_fleet(gates={"false_promotions": 0})
    folder = training_set(strict)
    weak, strong = (registered(registry, pump_fleet(c), folder, n) for c, n in ((BAD, "weak"), (GOOD, "strong")))
    set_champion(registry, strict, weak)
    found = promote(registry, strict, strong)
    assert not found.promoted and found.p_value is not None and found.p_value < 0.001


@pytest.mark.parametrize("first", [True, False])
def test_with_too_few_test_devices_a_person_promotes_the_first_champion_as_any_other(
    registry: Settings, training_set: MakeSet, first: bool
) -> None:
    fleet = pump_fleet(split={"train": 0.85, "validation": 0.12, "test": 0.03})
    folder = training_set(fleet)
    weak, strong = (
        registered(registry, fleet.model_copy(update={"training": pump_fleet(c).training}), folder, n)
        for c, n in ((BAD, "weak"), (GOOD, "strong"))
    )
    if not first:
        set_champion(registry, fleet, weak)
    found = promote(registry, fleet, strong)
    devices = len(set(read_training_set(folder).rows.of("test").device_id))
    assert 0 < devices < 5
    what = "for a first champion" if first else "to compare with champion version 1"
    assert not found.promoted
    assert found.reason.startswith(
        f"there are {devices} test devices, but at least 5 are needed {what}; wait for more devices"
    )
    assert set_champion(registry, fleet, strong).version == strong


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (
            {"kind": "remaining_useful_life", "unit": "cycles", "cap": 30},
            "remaining useful life in cycles, capped at 30",
        ),
        ({"kind": "remaining_useful_life", "unit": "hours", "cap": 40}, "remaining useful life in hours, capped at 40"),
        ({"kind": "failure_within", "unit": "cycles", "horizon": 10}, "probability of a failure within 10 cycles"),
    ],
)
def test_a_model_that_says_another_thing_is_not_compared_and_a_person_promotes_it(
    registry: Settings, training_set: MakeSet, task: dict[str, Any], said: str
) -> None:
    fleet, changed = pump_fleet({"ridge": {}}), pump_fleet({"ridge": {}}, task=task)
    old = registered(registry, fleet, training_set(fleet), "old")
    new = registered(registry, changed, training_set(changed), "new")
    set_champion(registry, fleet, old)
    found = promote(registry, changed, new)
    assert not found.promoted and found.p_value is None and found.champion_error is None
    assert (
        f"another target ({said}) than champion version {old} (remaining useful life in cycles, capped at 40)"
        in found.reason
    )
    assert found.reason.endswith(f"`aimaas models promote {new} --fleet pump`")
    with pytest.raises(RegistryError, match="their errors cannot be compared"):
        side_by_side(registry, changed, old, new)
    assert set_champion(registry, changed, new).version == new


def test_promoting_the_champion_again_changes_nothing(registry: Settings, training_set: MakeSet) -> None:
    fleet = pump_fleet(GOOD)
    version = registered(registry, fleet, training_set(fleet), "a")
    first = promote(registry, fleet, version)
    again = promote(registry, fleet, version)
    assert not again.promoted and again.reason == "version 1 is the champion already"
    assert again.sequence == first.sequence


def test_a_vetoed_challenger_is_not_promoted_however_good_it_is(registry: Settings, training_set: MakeSet) -> None:
    fleet = pump_fleet(GOOD)
    version = registered(registry, fleet, training_set(fleet), "a")
    veto(registry, fleet, version, "it hums")

    kept = promote(registry, fleet, version)

    assert not kept.promoted
    assert "it hums; `aimaas models unveto" in kept.reason
    assert sync_champion(registry, fleet) is None
    unveto(registry, fleet, version)
    assert promote(registry, fleet, version).promoted


def test_the_champion_is_asked_with_features_of_its_own_fit(registry: Settings, training_set: MakeSet) -> None:
    fleet = pump_fleet(GOOD)
    old = training_set(fleet, devices=30, seed=1)
    registered(registry, fleet, old, "old")
    new = read_training_set(training_set(fleet, devices=60, seed=2, gold=True))
    content = (registry.home / "old" / "model.onnx").read_bytes()
    own = features_for(registry, fleet, content, new)
    test = new.rows.of("test")
    assert own.shape == test.features.shape and not np.array_equal(own, test.features)
    metadata = metadata_of(content)
    assert metadata.fit.id == read_training_set(old).info.fit.id != new.info.fit.id
    wrong = run_onnx(content, test.features)
    right = run_onnx(content, own)
    assert np.sqrt(np.mean((right - test.label) ** 2)) < 12
    assert not np.array_equal(right, wrong)


def test_recomputed_features_are_those_of_the_training_set_bit_for_bit(
    registry: Settings, training_set: MakeSet
) -> None:
    fleet = pump_fleet(GOOD)
    frozen = read_training_set(training_set(fleet, gold=True))
    registered(registry, fleet, Path(frozen.folder), "a")
    metadata = metadata_of((registry.home / "a" / "model.onnx").read_bytes())
    test = frozen.rows.of("test")
    found = recomputed(registry, fleet, metadata, frozen.info.gold_version, test)
    assert np.array_equal(found, test.features)


def test_a_promotion_in_between_is_not_overwritten(
    registry: Settings, training_set: MakeSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = training_set(pump_fleet())
    weak, strong = (registered(registry, pump_fleet(c), folder, n) for c, n in ((BAD, "weak"), (GOOD, "strong")))
    third = registered(registry, pump_fleet({"ridge": {}}), folder, "third")
    promote(registry, pump_fleet(), weak)
    compare = promotion.features_for

    def slow(*args: Any) -> Any:
        set_champion(registry, pump_fleet(), third)  # someone else, while we compare
        return compare(*args)

    monkeypatch.setattr(promotion, "features_for", slow)
    with pytest.raises(RegistryError, match=f"meanwhile changed to version {third}"):
        promote(registry, pump_fleet(), strong)
    champion = sync_champion(registry, pump_fleet())
    assert champion is not None and champion.version == third
