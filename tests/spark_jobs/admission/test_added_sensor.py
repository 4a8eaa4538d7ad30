"""A sensor is added to a running fleet: old models serve on, old rows stay readable, and stream and lake still say the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aimaas.errors import LakeError, StateError
from aimaas.fleet import FleetSpec
from aimaas.kernel.plan import plan_of
from aimaas.kernel.state import DeviceState
from aimaas.lake import read_table
from aimaas.lake.declared_readings import declared
from aimaas.settings import Settings
from aimaas.training.training_set import read_info
from spark_jobs.admission.evolution import check_changes
from spark_jobs.admit import admit
from spark_jobs.features import features
from spark_jobs.land import land
from spark_jobs.rescore import rescore
from tests.published import gold
from tests.spark_jobs.test_rescore import AGREED, by_source, job, registered, rescored
from tests.stream.conftest import Line, open_line, tiny_model

ADDED = {"name": "added", "unit": "1", "range": [0, 10], "nullable": True, "fill": "previous"}
DEVICES = 8


def changed(fleet: FleetSpec, **sensors: Any) -> FleetSpec:
    """The fleet with other sensors: a mapping of changes, or None for one that goes."""
    plain = fleet.model_dump(mode="json", exclude_none=True)
    for name, change in sensors.items():
        if change is None:
            del plain["sensors"][name]
        else:
            plain["sensors"][name] = plain["sensors"].get(name, {}) | change
    return FleetSpec.model_validate(plain)


def with_added(value: bytes, number: int) -> bytes:
    """The event as a device sends it that has the sensor: a third of them has not, a third has nothing to say."""
    event = json.loads(value)
    if number % 3:
        event["readings"]["added"] = None if number % 3 == 1 else number % 10
    return json.dumps(event).encode()


def scored_so_far(line: Line) -> dict[str, dict[str, Any]]:
    return {source: {name: p.get(name) for name in AGREED} for source, p in line.scored().items()}


def lake_job(line: Line, spark: Any, *steps: Any) -> None:
    for step in steps:
        step(job(line, spark))


@pytest.mark.long
@pytest.mark.broker
@pytest.mark.spark
def test_a_sensor_added_to_a_running_fleet_changes_nothing_of_what_old_models_say(
    settings: Settings, tmp_path: Path, spark: Any
) -> None:
    with open_line(settings, tmp_path, "added sensor") as line:
        events = line.events(devices=DEVICES)[:900]
        older, newer = line.fleet, changed(line.fleet, added=ADDED)
        old = registered(line, tiny_model(older))
        line.champion(old)
        line.send(events[:300])
        line.score_all(300)
        outcomes = [(key, _failed(line, key)) for key in {key for key, _ in events}]
        line.send(outcomes, line.names.outcomes)
        lake_job(line, spark, land, admit, gold)

        line.fleet = newer
        line.send([(key, with_added(value, i)) for i, (key, value) in enumerate(events[300:600])])
        line.score_all(600)  # the old model, on state that was written before and is read with one more sensor
        by_old = scored_so_far(line)
        new = registered(line, tiny_model(newer, 2.0))
        line.champion(new, sequence=2, factor=2.0)
        line.send([(key, with_added(value, i)) for i, (key, value) in enumerate(events[600:])])
        line.score_all(900)
        by_new = {source: p for source, p in scored_so_far(line).items() if source not in by_old}
        assert {p["model_version"] for p in by_new.values()} == {new} and len(by_new) == 300

        lake_job(line, spark, land, admit, gold)
        for version in (old, new):
            assert rescore(job(line, spark, version=version, first=None, last=None))["rows"] == 900
        again = {version: by_source(rescored(line), version) for version in (old, new)}
        assert {source: again[old][source] for source in by_old} == by_old
        assert {source: again[new][source] for source in by_new} == by_new, "what state lacked is null in the lake"
        whole = read_table(settings, older.fleet, "gold", ["added", "s2"])
        assert whole["added"].null_count == 300 + 200 + 200 and whole["s2"].null_count == 0
        frozen = features(job(line, spark, out=str(tmp_path / "set"), as_of=None))
        assert read_info(tmp_path / "set").plan == plan_of(newer) and sum(frozen["rows"].values()) > 0

        line.fleet = changed(newer, s2=None)
        line.send(events[:1])
        land(job(line, spark))
        with pytest.raises(LakeError, match="s2 was removed, but older rows and models have it: keep it"):
            admit(job(line, spark))


def _failed(line: Line, key: bytes) -> bytes:
    device = key.decode()
    ts = "2026-11-23T18:00:00Z"
    return json.dumps(
        {"fleet": line.fleet.fleet, "device_id": device, "run": 0, "seq": 500, "ts": ts, "kind": "failed"}
    ).encode()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"load": None}, "load was removed"),
        ({"heat": {"unit": "°C"}}, "heat changed its unit from 'K' to '°C'"),
        ({"load": {"nullable": False}}, "load was nullable, and older rows have nulls"),
        ({"new": ADDED | {"nullable": False}}, "new is new and must be nullable"),
    ],
)
def test_a_change_that_history_cannot_follow_is_refused_with_what_to_do(
    make_fleet: Callable[..., FleetSpec], change: Any, says: str
) -> None:
    fleet = make_fleet(derived={})
    with pytest.raises(LakeError, match=says):
        check_changes(changed(fleet, **change), declared(fleet))


def test_ranges_more_nulls_and_new_nullable_readings_are_allowed(make_fleet: Callable[..., FleetSpec]) -> None:
    fleet = make_fleet(derived={})
    now = changed(fleet, heat={"range": [0, 2000], "nullable": True, "fill": 300}, new=ADDED)
    check_changes(now, declared(fleet))
    moved = fleet.model_copy(update={"sensors": dict(reversed(fleet.sensors.items()))})
    with pytest.raises(LakeError, match="the order of readings changed: restore mode, heat, load"):
        check_changes(moved, declared(fleet))


def test_state_is_read_with_added_readings_filled_and_refused_after_any_other_change(
    make_fleet: Callable[..., FleetSpec],
) -> None:
    fleet = make_fleet(derived={})
    state = DeviceState.of(fleet)
    (slot,) = state.slots(["d"])
    state.ring[slot, 0], state.count[slot], state.held[slot] = (1.0, 2.0, 3.0), 1, 1
    packed = state.pack(int(slot))
    now = DeviceState.of(changed(fleet, new=ADDED | {"fill": 7}, other=ADDED))
    now.unpack("d", packed)
    (there,) = now.slots(["d"])
    assert np.array_equal(now.ring[there, 0], [1.0, 2.0, 3.0, 7.0, 5.0])
    for other in (
        changed(fleet, load=None),
        changed(fleet, new=ADDED | {"nullable": False}),
        changed(fleet, load=None, new=ADDED),
    ):
        with pytest.raises(StateError, match="start it with the fleet file that the state was written with"):
            DeviceState.of(other).unpack("d", packed)
