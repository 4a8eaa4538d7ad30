"""Simulates devices: run-to-failure histories for any fleet file, the same for the same seed.

A device's history depends only on the seed and its own number, not on the number of simulated devices.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aimaas.fleet import FleetSpec
from aimaas.fleet.units import SECONDS_PER_UNIT
from aimaas.records.events import OutcomeKind
from stream.devices.degradation import Float64, Profile, make_of_device, simulate_run
from stream.devices.histories import Ending, Histories
from stream.devices.profiles import profile_of, rows_per_unit

_NULLS = 0.01  # share of nulls in nullable readings


@dataclass(frozen=True, slots=True)
class _Part:
    """One run of a device: its readings (T, R) and its end; None if it still runs."""

    run: int
    values: Float64
    kind: OutcomeKind | None
    mode: str | None


def device_id(fleet: FleetSpec, number: int) -> str:
    """Return the name of a simulated device, such as `turbofan-000123`."""
    return f"{fleet.fleet}-{number:06d}"


def simulate(fleet: FleetSpec, devices: int, seed: int, first_device: int = 0, alive: float = 0.0) -> Histories:
    """Return histories of `devices` devices, numbered from `first_device`.

    `alive` is the share of devices that still run at the end: their last run is cut off and has no outcome.
    """
    profile = profile_of(fleet)
    device: list[int] = []
    parts: list[_Part] = []
    endings: list[Ending] = []
    rows = 0
    for number in range(devices):
        for part in _device(fleet, profile, alive, np.random.default_rng([seed, first_device + number])):
            device.append(number)
            parts.append(part)
            rows += len(part.values)
            if part.kind is not None:
                endings.append(Ending(rows - 1, len(part.values), part.kind, part.mode))
    return _histories(fleet, [device_id(fleet, first_device + n) for n in range(devices)], device, parts, endings)


def healthy_rows(fleet: FleetSpec, rows: int, seed: int) -> Float64:
    """Return readings (rows, R) of a new device without nulls; faster than `simulate`, which simulates a whole life."""
    profile, rng = profile_of(fleet), np.random.default_rng(seed)
    regime = rng.choice(len(profile.weights), size=rows, p=profile.weights / profile.weights.sum())
    settings = profile.centres[regime] + rng.normal(0, 1, (rows, profile.jitter.size)) * profile.jitter
    sensors = profile.base[regime] + make_of_device(profile, rng)
    sensors += rng.normal(0, 1, sensors.shape) * profile.noise
    return _reported(fleet, profile, np.concatenate([settings, sensors], axis=1))


def _device(fleet: FleetSpec, profile: Profile, alive: float, rng: np.random.Generator) -> list[_Part]:
    """Return the runs of one device."""
    make = make_of_device(profile, rng)
    still_runs, cut = rng.random() < alive, rng.uniform(0.3, 1)
    count = int(rng.integers(profile.runs[0], profile.runs[1] + 1))
    parts = []
    for number in range(count):
        run = simulate_run(profile, make, rng)
        last = number == count - 1
        kind: OutcomeKind | None = "failed" if run.mode else "retired" if last else "repaired"
        rows = len(run.values)
        if last and still_runs:
            kind, rows = None, max(1, int(cut * rows))
        values = _reported(fleet, profile, run.values[:rows])
        parts.append(_Part(number, _with_nulls(fleet, values, rng), kind, run.mode))
    return parts


def _histories(
    fleet: FleetSpec, names: list[str], device: list[int], parts: list[_Part], endings: list[Ending]
) -> Histories:
    """Join the runs."""
    lengths = np.array([len(part.values) for part in parts], np.int64)
    devices = np.repeat(np.array(device, np.int64), lengths)
    place = np.arange(len(devices))
    unit_s = SECONDS_PER_UNIT.get(fleet.task.unit, 1.0) if fleet.order == "ts" else 1.0
    return Histories(
        fleet=fleet.fleet,
        devices=names,
        device=devices,
        run=np.repeat(np.array([part.run for part in parts], np.int64), lengths),
        seq=place - np.repeat(np.cumsum(lengths) - lengths, lengths) + 1,
        step=place - np.searchsorted(devices, devices),
        values=np.concatenate([np.zeros((0, len(fleet.readings))), *(part.values for part in parts)]),
        endings=endings,
        interval_s=unit_s / rows_per_unit(fleet),
    )


def _reported(fleet: FleetSpec, profile: Profile, values: Float64) -> Float64:
    """Return readings (T, R) rounded to the sensors' digits and clipped to the declared ranges."""
    for c, (reading, digits) in enumerate(zip(fleet.reading_specs, profile.digits, strict=True)):
        values[:, c] = np.clip(np.round(values[:, c], digits), *reading.range)
    return values + 0.0  # no negative zeros


def _with_nulls(fleet: FleetSpec, values: Float64, rng: np.random.Generator) -> Float64:
    """Put some nulls into the nullable readings."""
    for c, reading in enumerate(fleet.reading_specs):
        if reading.nullable:
            values[rng.random(len(values)) < _NULLS, c] = np.nan
    return values
