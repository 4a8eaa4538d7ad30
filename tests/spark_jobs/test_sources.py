"""What gold is made of, as its notes say it: without a lake."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from aimaas.fleet import FleetSpec
from spark_jobs.sources import Sources, _digest_with_names, digest_of, read_sources


def changed(fleet: FleetSpec, **change: Any) -> FleetSpec:
    """The fleet with another `heat`."""
    sensors = {**fleet.sensors, "heat": fleet.sensors["heat"].model_copy(update=change)}
    return fleet.model_copy(update={"sensors": sensors})


@pytest.mark.parametrize(
    ("change", "is_same"), [({"name": "temperature of the room"}, True), ({"range": (0.0, 2_000.0)}, False)]
)
def test_gold_goes_on_where_a_sensor_is_called_otherwise_and_not_where_its_range_is_another(
    make_fleet: Callable[..., FleetSpec], change: dict[str, Any], is_same: bool
) -> None:
    fleet = make_fleet()
    before, now = (Sources("{}", 1, digest_of(of)) for of in (fleet, changed(fleet, **change)))
    assert now.goes_on_from(before) is is_same


def test_a_note_of_an_older_release_is_known_for_the_same_fleet_file_alone(
    make_fleet: Callable[..., FleetSpec],
) -> None:
    fleet = make_fleet()
    note = msgspec.json.encode(Sources("{}", 1, _digest_with_names(fleet))).decode()
    known = [read_sources(note, of) for of in (fleet, changed(fleet, range=(0.0, 2_000.0)))]
    assert [k is not None and k.fleet == digest_of(fleet) for k in known] == [True, False]
