"""Sensors that are stuck or speak another unit, and clocks that go back: seen in windows of rows, and only then."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from aimaas.fleet import FleetSpec, load_fleet
from expectations.rows.windows import cut
from expectations.sensors import Share, shares
from stream.devices.simulator import simulate
from tests.conftest import FLEETS

W = 30


@pytest.fixture(params=["turbofan", "mill"])
def fleet(request: pytest.FixtureRequest) -> FleetSpec:
    return load_fleet(FLEETS / f"{request.param}.yaml")


def table(fleet: FleetSpec, devices: int = 60, seed: int = 1, first: int = 0) -> pa.Table:
    h = simulate(fleet, devices, seed, first)
    columns = {name: h.values[:, c] for c, name in enumerate(fleet.readings)}
    keys = {"device_id": [h.devices[d] for d in h.device], "run": h.run, "order": h.seq}
    return pa.table({**keys, "ts": h.step.astype("M8[us]"), **columns})


def changed(rows: pa.Table, name: str, change: Any, devices: int) -> pa.Table:
    """`change(values)` of the rows of the first devices."""
    mine = np.isin(rows["device_id"].to_numpy(), sorted(set(rows["device_id"].to_pylist()))[:devices])
    values = rows[name].to_numpy().copy()
    values[mine] = change(values[mine])
    return rows.set_column(rows.column_names.index(name), name, pa.array(values))


def found(fleet: FleetSpec, new: pa.Table, before: pa.Table | None) -> dict[str, float]:
    """What exceeds the fleet file's limits."""
    ranges = {name: reading.range for name, reading in fleet.sensors.items()}
    limits = {"stuck": fleet.quality.stuck_share, "shifted": fleet.quality.shifted_share, "clock_back": 0.01}
    all_shares = shares(ranges, cut(list(ranges), W, new, before))
    return {
        k: v.value for k, v in all_shares.items() if v.value > next(most for what, most in limits.items() if what in k)
    }


def test_healthy_and_failing_devices_are_not_taken_for_faulty_sensors(fleet: FleetSpec) -> None:
    assert found(fleet, table(fleet, first=100), table(fleet)) == {}
    assert found(fleet, table(fleet), None) == {}


@pytest.mark.parametrize("known", [True, False])
def test_sensors_stuck_in_a_few_devices_are_found(fleet: FleetSpec, known: bool) -> None:
    name = {"turbofan": "s11", "mill": "torque"}[fleet.fleet]
    new = changed(table(fleet, first=100), name, lambda values: np.full_like(values, values[0]), 5)

    assert set(found(fleet, new, table(fleet) if known else None)) == {f"{name}_stuck_share"}


def test_a_unit_mixed_up_within_the_range_is_found(fleet: FleetSpec) -> None:
    name, factor = {"turbofan": ("s12", 0.45359237), "mill": ("speed", 2 * np.pi / 10)}[fleet.fleet]
    new = changed(table(fleet, first=100), name, lambda values: values * factor, 8)

    assert set(found(fleet, new, table(fleet))) == {f"{name}_shifted_share"}


def test_in_the_first_run_devices_are_compared_with_each_other() -> None:
    fleet = load_fleet(FLEETS / "mill.yaml")
    new = changed(table(fleet), "speed", lambda values: values * 2 * np.pi / 10, 8)

    assert set(found(fleet, new, None)) == {"speed_shifted_share"}


def test_a_unit_that_all_devices_mixed_up_is_found_by_what_was_usual_before() -> None:
    fleet = load_fleet(FLEETS / "turbofan.yaml")
    new = changed(table(fleet, first=100), "s12", lambda values: values * 0.45359237, 60)

    (shifted,) = found(fleet, new, table(fleet)).items()

    assert shifted[0] == "s12_shifted_share"
    assert shifted[1] > 0.9


def test_a_sensor_that_stands_still_by_its_nature_is_not_stuck() -> None:
    fleet = load_fleet(FLEETS / "turbofan.yaml")
    before, new = (changed(table(fleet, first=f), "s1", lambda v: np.full_like(v, 500.0), 60) for f in (0, 100))

    assert found(fleet, new, before) == {}
    assert found(fleet, new, None) == {}


def test_few_new_rows_are_seen_with_the_rows_of_their_device_before_them() -> None:
    fleet = load_fleet(FLEETS / "turbofan.yaml")
    rows = table(fleet)
    order = rows["order"].to_numpy()
    stuck = np.isin(rows["device_id"].to_numpy(), sorted(set(rows["device_id"].to_pylist()))[:5]) & (order >= 85)
    place = rows.column_names.index("s11")
    rows = rows.set_column(place, "s11", pa.array(np.where(stuck, 40.0, rows["s11"].to_numpy())))

    before, a_few = rows.filter(order < 118), rows.filter((order >= 118) & (order < 120))

    assert a_few.num_rows == 2 * 60
    assert set(found(fleet, a_few, before)) == {"s11_stuck_share"}


def test_a_clock_that_goes_back_is_found() -> None:
    fleet = load_fleet(FLEETS / "mill.yaml")
    rows = table(fleet)
    back = np.arange(rows.num_rows) % 40 == 20
    ts = rows["ts"].to_numpy() - back * np.timedelta64(1, "h")

    assert set(found(fleet, rows.set_column(3, "ts", pa.array(ts)), None)) == {"clock_back_share"}


def test_without_a_whole_window_nothing_is_said_of_sensors() -> None:
    fleet = load_fleet(FLEETS / "turbofan.yaml")
    rows = table(fleet, 3)
    said = shares({"s2": (400, 800)}, cut(["s2"], W, rows.filter(rows["order"].to_numpy() < 20), None))

    assert math.isnan(said["s2_stuck_share"].value)
    assert math.isnan(said["s2_shifted_share"].value)
    assert said["clock_back_share"] == Share(0.0)
