from __future__ import annotations

from typing import Any

import msgspec
import pytest

from aimaas.model.artefact import ModelMetadata
from models.promotion.kinds import differ, kind_of
from tests.aimaas.model.test_artefact_check import VALID

LIFE = msgspec.structs.replace(VALID, task="remaining_useful_life", unit="cycles", target_range=(0.0, 125.0))
RISK = msgspec.structs.replace(LIFE, task="failure_within", target_range=(0.0, 1.0), horizon=(5.0, "hours"))


@pytest.mark.parametrize(
    ("one", "changed"),
    [
        (LIFE, {"unit": "hours"}),
        (LIFE, {"target_range": (0.0, 100.0)}),
        (LIFE, {"task": "failure_within", "target_range": (0.0, 1.0)}),
        (RISK, {"horizon": (6.0, "hours")}),
        (RISK, {"horizon": (5.0, "days")}),
    ],
)
def test_another_task_unit_cap_or_horizon_is_another_kind(one: ModelMetadata, changed: dict[str, Any]) -> None:
    other = msgspec.structs.replace(one, **changed)
    assert differ(one, other) and differ(other, one)
    assert kind_of(one) != kind_of(other)


def test_another_candidate_of_the_same_target_is_the_same_kind() -> None:
    assert not differ(RISK, msgspec.structs.replace(RISK, candidate="forest", unit="whatever"))
    assert not differ(LIFE, msgspec.structs.replace(LIFE, seed=9))


def test_a_probability_made_before_horizons_were_kept_counts_as_of_any_horizon() -> None:
    old = msgspec.structs.replace(RISK, horizon=None)
    assert not differ(old, RISK) and not differ(RISK, old)
    assert differ(old, LIFE)
