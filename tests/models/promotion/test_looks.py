from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimaas.registry.versions import Champion, register
from aimaas.settings import Settings
from models.promotion.looks import YEAR, Look, next_look, take_look
from models.training.train import train
from tests.models.conftest import pump_fleet
from tests.models.promotion.test_promote import MakeSet

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def levels(times: list[datetime], chance: float = 0.05) -> list[float]:
    look: Look | None = None
    found = []
    for at in times:
        look = next_look(look, BEGAN, chance, at)
        found.append(look.level)
    return found


def test_a_year_of_nightly_looks_spends_what_the_fleet_file_allows_and_the_first_looks_most() -> None:
    found = levels([BEGAN + k * DAY for k in range(1, 366)])
    assert 0.0499 < sum(found) <= 0.05
    assert found[0] == pytest.approx(0.05 / 2 * (1 / 2 + 1 / 365))
    assert found[-1] == pytest.approx(0.05 / 2 / 365, rel=0.01)


@given(st.lists(st.floats(0, 365 * 86_400), max_size=400))
def test_a_champions_first_year_spends_no_more_however_often_one_looks(seconds: list[float]) -> None:
    assert sum(levels([BEGAN + timedelta(seconds=s) for s in sorted(seconds)])) <= 0.05 + 1e-12


@given(st.lists(st.integers(-1_000, 1_000), max_size=30))
def test_a_clock_that_is_put_back_takes_nothing_away(days: list[int]) -> None:
    assert all(level > 0 for level in levels([BEGAN + d * DAY for d in days]))


def test_a_look_after_a_week_gets_the_days_that_nobody_looked() -> None:
    nightly, weekly = levels([BEGAN + DAY]), levels([BEGAN + 7 * DAY])
    assert weekly[0] - nightly[0] == pytest.approx(0.05 / 2 * 6 / 365)


def test_the_looks_of_a_fleet_without_a_champion_spend_as_much() -> None:
    first = next_look(None, None, 0.05, BEGAN)
    second = next_look(first, None, 0.05, BEGAN + DAY)
    assert first.level == pytest.approx(0.025 / 2)
    assert second.level == pytest.approx(0.025 * (1 / 6 + 1 / 365))
    assert next_look(second, None, 0.05, BEGAN + 100 * YEAR).level <= 0.05


def test_the_same_version_compared_again_is_the_same_look(registry: Settings, training_set: MakeSet) -> None:
    folder = training_set(pump_fleet())
    first, second = (_registered(registry, folder, trees) for trees in (5, 6))
    champion = Champion("7", 3, BEGAN)
    looks = [
        take_look(registry, pump_fleet(), version, champion, BEGAN + k * DAY)
        for k, version in enumerate((first, first, second, first), 1)
    ]
    assert [look.number for look in looks] == [1, 1, 2, 1]
    assert looks[1] == looks[0] == looks[3]
    assert looks[2].at - looks[0].at == 2 * DAY
    other = take_look(registry, pump_fleet(), second, Champion("8", 4, BEGAN + DAY), BEGAN + 4 * DAY)
    assert other.number == 1


def _registered(registry: Settings, folder: Path, trees: int) -> str:
    fleet = pump_fleet({"boosting": {"trees": trees}})
    train(registry, fleet, folder, registry.home / f"trees-{trees}")
    return register(registry, fleet, registry.home / f"trees-{trees}")
