"""Suites derived from fleet files, and the hand-written ones beside them."""

from __future__ import annotations

from pathlib import Path

import pytest

from aimaas.errors import FleetFileError
from aimaas.fleet import FleetSpec, load_fleet
from expectations.suite import derived, derived_of_run, hand_written
from tests.conftest import FLEETS


@pytest.fixture(params=["turbofan", "mill"])
def fleet(request: pytest.FixtureRequest) -> FleetSpec:
    return load_fleet(FLEETS / f"{request.param}.yaml")


def test_every_reading_has_its_range_and_its_completeness_in_the_suite(fleet: FleetSpec) -> None:
    suite = derived(fleet, "silver")
    ranges = {
        k["column"]: (k["min_value"], k["max_value"])
        for t, k, _ in suite
        if t.endswith("to_be_between") and "column" in k
    }
    complete = {k["column"] for t, k, _ in suite if t.endswith("not_be_null")}

    assert ranges == {n: r.range for n, r in zip(fleet.readings, fleet.reading_specs, strict=True)}
    assert set(fleet.readings) <= complete


def test_the_share_refused_in_a_run_is_limited_by_the_fleet_file(fleet: FleetSpec) -> None:
    ((_, kwargs, severity),) = derived_of_run(fleet)

    assert (kwargs["max_value"], severity) == (fleet.quality.refused_share, "critical")


def test_hand_written_expectations_of_the_project_are_read(fleet: FleetSpec) -> None:
    assert all(severity == "warning" for _, _, severity in hand_written(FLEETS, fleet, "silver"))
    assert hand_written(FLEETS, fleet, "silver") != []
    assert hand_written(FLEETS, fleet, "gold") == []


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("type: x", "found dict, allowed: a list of expectations"),
        ("- kwargs: {}", "entry 1: found {'kwargs': {}}, allowed: a mapping with type, kwargs and severity"),
        ("- {type: x, limit: 3}", "entry 1: unknown key 'limit', allowed: kwargs, severity, type"),
        ("- {type: x, severity: fatal}", "entry 1: severity: found 'fatal', allowed: critical, quarantine, warning"),
    ],
)
def test_a_mistake_in_a_hand_written_suite_is_one_clear_line(
    tmp_path: Path, fleet: FleetSpec, content: str, line: str
) -> None:
    path = tmp_path / "expectations" / f"{fleet.fleet}_gold.yaml"
    path.parent.mkdir()
    path.write_text(content)

    with pytest.raises(FleetFileError) as refused:
        hand_written(tmp_path, fleet, "gold")

    assert str(refused.value) == f"{path}: {line}"
