"""Simulated devices: reproducible, within their ranges, and worth learning from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from aimaas.fleet import FleetSpec, load_fleet
from stream.devices.histories import Histories, truth
from stream.devices.producer import Encoder
from stream.devices.simulator import simulate
from tests.conftest import FLEETS

END_US = 1_795_000_000_000_000


def fleet_named(name: str) -> FleetSpec:
    return load_fleet(FLEETS / f"{name}.yaml")


def own_fleet(**changes: object) -> FleetSpec:
    """A user's own fleet, which no profile was made for."""
    fleet = {
        "fleet": "pump",
        "version": 1,
        "order": "ts",
        "sensors": {
            "flow": {"name": "flow", "unit": "l/s", "range": [0, 40]},
            "valve": {"name": "valve", "unit": "1", "range": [-1, 1], "nullable": True, "fill": "previous"},
            "pressure": {"name": "pressure", "unit": "bar", "range": [0, 0.5]},
        },
        "features": {"windows": [3, 9]},
        "task": {"kind": "remaining_useful_life", "unit": "hours", "cap": 500},
        "training": {"candidates": {"ridge": {}}},
    }
    return FleetSpec.model_validate({**fleet, **changes})


def sent_bytes(fleet: FleetSpec, histories: Histories) -> list[tuple[bytes, bytes]]:
    rows = histories.in_time()
    return Encoder(fleet, histories).events(rows, histories.times_us(END_US)[rows])


FLEETS_OF_ALL_KINDS = [fleet_named("turbofan"), fleet_named("mill"), own_fleet()]


@pytest.mark.parametrize("fleet", FLEETS_OF_ALL_KINDS, ids=lambda fleet: fleet.fleet)
def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_ones(fleet: FleetSpec) -> None:
    once, again, other = (sent_bytes(fleet, simulate(fleet, 3, seed)) for seed in (5, 5, 6))
    assert once == again
    assert once != other


@pytest.mark.parametrize("fleet", FLEETS_OF_ALL_KINDS, ids=lambda fleet: fleet.fleet)
def test_a_device_does_not_depend_on_those_simulated_beside_it(fleet: FleetSpec) -> None:
    many, alone = simulate(fleet, 5, 5), simulate(fleet, 1, 5, first_device=3)

    assert alone.devices == [f"{fleet.fleet}-000003"]
    np.testing.assert_array_equal(many.values[many.device == 3], alone.values)


@pytest.mark.parametrize("fleet", FLEETS_OF_ALL_KINDS, ids=lambda fleet: fleet.fleet)
def test_readings_stay_within_the_declared_ranges(fleet: FleetSpec) -> None:
    values = simulate(fleet, 20, 5).values
    for c, reading in enumerate(fleet.reading_specs):
        assert reading.range[0] <= np.nanmin(values[:, c]) <= np.nanmax(values[:, c]) <= reading.range[1]
        assert np.isnan(values[:, c]).any() == reading.nullable


def test_engines_live_120_to_350_cycles_under_six_conditions_and_fail_in_two_ways() -> None:
    histories = simulate(fleet_named("turbofan"), 60, 5)
    lives = np.bincount(histories.device)

    assert (lives.min() >= 120, lives.max() <= 350, lives.max() - lives.min() > 100) == (True, True, True)
    assert len(np.unique(np.round(histories.values[:, 0]))) == 6
    assert {(e.kind, e.mode) for e in histories.endings} == {("failed", "hpc"), ("failed", "fan")}


def test_mills_go_through_several_runs_of_which_some_fail() -> None:
    histories = simulate(fleet_named("mill"), 30, 5)

    assert {e.kind for e in histories.endings} == {"failed", "repaired", "retired"}
    assert {e.mode for e in histories.endings if e.kind != "failed"} == {None}
    assert histories.run.max() >= 3
    for ending in histories.endings:
        assert (ending.seq, ending.row + 1 == len(histories) or histories.seq[ending.row + 1]) == (
            histories.seq[ending.row],
            1,
        )


def test_devices_that_still_run_have_no_outcome_for_their_last_run() -> None:
    fleet = fleet_named("turbofan")
    histories = simulate(fleet, 40, 5, alive=0.5)

    assert 10 <= len(histories.endings) <= 30
    unknown = np.isnan(truth(histories, fleet))
    assert set(histories.device[unknown]).isdisjoint(histories.device[e.row] for e in histories.endings)


def test_the_truth_of_a_life_counts_down_to_zero_from_the_cap() -> None:
    fleet = fleet_named("turbofan")
    histories = simulate(fleet, 1, 5)

    expected = np.minimum(np.arange(len(histories))[::-1], 125)

    np.testing.assert_array_equal(truth(histories, fleet), expected)


def test_the_truth_of_a_horizon_is_known_only_where_it_was_observed() -> None:
    fleet = fleet_named("mill")
    histories = simulate(fleet, 20, 5)
    found = truth(histories, fleet)

    for ending in histories.endings:
        last = found[ending.row - 7 : ending.row + 1]
        expected = [0, 0, *([1] * 6)] if ending.kind == "failed" else [0, 0, 0, *([np.nan] * 5)]
        np.testing.assert_array_equal(last, expected)


def test_the_truth_of_a_fleet_ordered_by_time_is_in_its_unit() -> None:
    fleet = own_fleet()
    histories = simulate(fleet, 1, 5)

    assert histories.interval_s == 4 * 3600  # 125 rows up to a cap of 500 hours
    np.testing.assert_allclose(truth(histories, fleet)[-3:], [8, 4, 0])
    assert truth(replace(histories, ts_us=histories.times_us(END_US)), fleet)[-3] == pytest.approx(8)


def test_times_end_now_and_rise_in_the_order_of_sending() -> None:
    histories = simulate(fleet_named("mill"), 7, 5)
    times = histories.times_us(END_US)[histories.in_time()]

    assert (np.diff(times) >= 0).all()
    assert END_US - 1_000_000 <= times[-1] <= END_US


def test_wear_tells_the_remaining_life() -> None:
    fleet = fleet_named("turbofan")
    histories = simulate(fleet, 40, 5)
    true = truth(histories, fleet)
    conditions = np.round(histories.values[:, 0])
    predicted = np.zeros(len(true))
    for condition in np.unique(conditions):
        rows = conditions == condition
        inputs = np.c_[histories.values[rows, 3:], np.ones(rows.sum())]
        known = histories.device[rows] < 30
        weights = np.linalg.lstsq(inputs[known], true[rows][known], rcond=None)[0]
        predicted[rows] = inputs @ weights
    unseen = histories.device >= 30
    error = np.sqrt(np.mean((predicted - true)[unseen] ** 2))

    assert error < 0.6 * true[unseen].std()  # without any history of the device; windows bring it to a quarter
