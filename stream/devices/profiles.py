"""Simulated fleets as data: turbofan engines, milling machines, and a generic device for any other fleet file.

The magnitudes of the first two are rounded from published data: C-MAPSS (Saxena & Goebel 2008) and AI4I 2020 (Matzka 2020).
"""

from __future__ import annotations

import hashlib

import numpy as np

from aimaas.fleet import FleetSpec, Reading, RemainingUsefulLife
from stream.devices.degradation import Factor, FaultMode, Float64, Life, Profile, Wear

# altitude in kft, Mach number and throttle in % of six flight conditions, then s1-s21 of a healthy engine in each
_FLIGHT = """
0 0.00 100 | 518.67 642.3 1586.0 1401.0 14.62 21.61 554.0 2388.05 9057 1.30
    47.3 522.0 2388.05 8138 8.415 0.03 392 2388 100.00 39.0 23.4
10 0.25 100 | 489.05 604.5 1498.0 1304.5 10.52 15.49 394.8 2318.88 8780 1.26
    45.3 371.9 2388.08 8132 8.635 0.03 369 2319 100.00 28.6 17.2
20 0.70 100 | 491.19 607.3 1481.5 1247.0 9.35 13.65 334.9 2323.94 8724 1.08
    44.3 315.2 2388.07 8063 9.203 0.02 364 2324 100.00 24.5 14.7
25 0.62 60 | 462.54 536.7 1259.6 1045.1 7.05 9.03 175.6 1915.36 8011 0.94
    36.6 164.7 2028.26 7875 10.880 0.02 307 1915 84.93 14.3 8.6
35 0.84 100 | 449.44 555.5 1363.1 1125.8 5.48 8.00 194.7 2222.98 8351 1.02
    41.8 183.2 2388.07 8069 9.301 0.02 333 2223 100.00 14.9 8.9
42 0.84 100 | 445.00 549.4 1350.9 1122.0 3.91 5.71 138.8 2211.94 8322 1.02
    42.0 130.7 2388.02 8086 9.347 0.02 330 2212 100.00 10.6 6.4
"""
# thousandths of a sensor's value gained until failure, for a worn compressor and a worn fan
_COMPRESSOR = {
    2: 2.0,
    3: 9.5,
    4: 19.0,
    7: -4.4,
    8: 0.10,
    9: 3.2,
    11: 17.0,
    12: -4.1,
    13: 0.10,
    14: 2.3,
    15: 12.0,
    17: 10.0,
    20: -12.0,
    21: -12.0,
}
_FAN = {
    2: 1.6,
    3: 6.0,
    4: 14.0,
    6: 1.5,
    7: 5.2,
    8: 0.16,
    9: 2.4,
    10: 8.0,
    11: 12.0,
    12: 4.8,
    13: 0.17,
    14: 1.6,
    15: -10.0,
    17: 8.0,
    20: 11.0,
    21: 11.0,
}
_NOISE = {
    2: 0.30,
    3: 4.0,
    4: 4.6,
    6: 0.003,
    7: 0.40,
    8: 0.06,
    9: 4.0,
    11: 0.13,
    12: 0.31,
    13: 0.06,
    14: 4.0,
    15: 0.022,
    17: 1.0,
    20: 0.095,
    21: 0.057,
}
_MAKE = {
    2: 0.10,
    3: 1.2,
    4: 1.6,
    7: 0.13,
    8: 0.03,
    9: 5.0,
    11: 0.05,
    12: 0.10,
    13: 0.03,
    14: 5.0,
    15: 0.008,
    17: 0.3,
    20: 0.03,
    21: 0.018,
}
_TURBOFAN_DIGITS = (4, 4, 0, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 4, 2, 0, 0, 2, 2, 4)


def profile_of(fleet: FleetSpec) -> Profile:
    """Return the profile for the fleet's readings, or the generic one."""
    made = {_TURBOFAN_READINGS: turbofan, _MILL_READINGS: mill}.get(fleet.readings)
    return made() if made else generic(fleet)


_TURBOFAN_READINGS = ("o1", "o2", "o3", *(f"s{i}" for i in range(1, 22)))
_MILL_READINGS = ("quality", "air_temperature", "process_temperature", "speed", "torque", "tool_wear")


def turbofan() -> Profile:
    """Return engines that fly under six conditions in any order, with two fault modes, and end in failure."""
    table = np.array(_FLIGHT.replace("|", " ").split(), np.float64).reshape(-1, 24)
    base = table[:, 3:]
    return Profile(
        centres=table[:, :3],
        weights=np.array([0.15, 0.15, 0.15, 0.15, 0.15, 0.25]),
        jitter=np.array([0.003, 0.0005, 0.0]),
        base=base,
        ramp=np.zeros_like(base),
        noise=_by_number(_NOISE),
        variation=_by_number(_MAKE),
        factors=(),
        modes={
            "hpc": FaultMode(base * _by_number(_COMPRESSOR) / 1000, 0.6),
            "fan": FaultMode(base * _by_number(_FAN) / 1000, 0.4),
        },
        life=Life(median=200, spread=0.28, low=120, high=350),
        wear=Wear(scale=55, shape=1, initial=0.06),
        runs=(1, 1),
        failing=1.0,
        digits=_TURBOFAN_DIGITS,
    )


def _by_number(values: dict[int, float]) -> Float64:
    return np.array([values.get(i, 0.0) for i in range(1, 22)])


def mill() -> Profile:
    """Return milling machines whose tool wears with each operation, faster for better products.

    Most runs end in one of five failures.
    """

    def look(*, process: float = 0, speed: float = 0, torque: float = 0, wear: float = 0) -> Float64:
        return np.tile([0.0, process, speed, torque, wear], (3, 1))

    return Profile(
        centres=np.array([[0.0], [1.0], [2.0]]),
        weights=np.array([0.6, 0.3, 0.1]),
        jitter=np.array([0.0]),
        base=look(process=310, speed=1540, torque=40) + np.array([300.0, 0, 0, 0, 0]),
        ramp=np.array([[0.0, 0, 0, 0, minutes] for minutes in (2, 3, 5)]),
        noise=np.array([0.05, 0.25, 25.0, 2.5, 0.0]),
        variation=np.array([0.3, 0.3, 10.0, 0.7, 0.0]),
        factors=(
            Factor(np.array([2.0, 2.0, 0, 0, 0]), 0.98),  # the weather in the hall
            Factor(np.array([0.0, 0, 90, -3.5, 0]), 0.0),  # the workpiece: fast and light, or slow and heavy
        ),
        modes={
            "tool_wear": FaultMode(look(wear=160), 0.25),
            "heat_dissipation": FaultMode(look(process=-3.5, speed=-160), 0.3),
            "power": FaultMode(look(torque=30, speed=150), 0.22),
            "overstrain": FaultMode(look(torque=18, wear=110), 0.21),
            "random": FaultMode(look(), 0.02),
        },
        life=Life(median=40, spread=0.3, low=18, high=80),
        wear=Wear(scale=6.7, shape=10, initial=0.0),
        runs=(3, 6),
        failing=0.7,
        digits=(0, 1, 1, 0, 1, 0),
    )


def generic(fleet: FleetSpec) -> Profile:
    """Return a plausible device for any fleet file: healthy in mid-range, with two fault modes that move half of the sensors.

    The profile depends only on the fleet's name, so that all seeds simulate the same type of device.
    """
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(fleet.fleet.encode()).digest()[:8], "big"))
    settings, sensors = _ranges(list(fleet.settings.values())), _ranges(list(fleet.sensors.values()))
    regimes = fleet.features.regimes if fleet.settings else 1
    span = sensors[:, 1] - sensors[:, 0]
    shift = rng.uniform(-0.08, 0.08, (regimes, len(span))) * span
    rows, wear = _paces(fleet)
    return Profile(
        centres=rng.uniform(0.2, 0.8, (regimes, len(settings))) * (settings[:, 1] - settings[:, 0]) + settings[:, 0],
        weights=np.ones(regimes),
        jitter=(settings[:, 1] - settings[:, 0]) * 1e-3,
        base=sensors.mean(axis=1) + (shift if regimes > 1 else 0 * shift),
        ramp=np.zeros((regimes, len(span))),
        noise=span * 0.015,
        variation=span * 0.005,
        factors=(),
        modes={name: FaultMode(np.tile(_signature(span, rng), (regimes, 1)), 0.5) for name in ("a", "b")},
        life=Life(rows, 0.28, max(2, round(0.6 * rows)), round(1.8 * rows)),
        wear=wear,
        runs=(1, 1) if isinstance(fleet.task, RemainingUsefulLife) else (3, 6),
        failing=1.0 if isinstance(fleet.task, RemainingUsefulLife) else 0.7,
        digits=tuple(_digits(r.range) for r in fleet.reading_specs),
    )


def rows_per_unit(fleet: FleetSpec) -> float:
    """Return the rows of a device in a unit of the task: one for a counter; by time, 125 up to a cap and 5 in a horizon."""
    if fleet.order == "seq":
        return 1.0
    if isinstance(fleet.task, RemainingUsefulLife):
        return 125 / fleet.task.cap
    return 5 / fleet.task.horizon if fleet.task.horizon else 1.0


def _paces(fleet: FleetSpec) -> tuple[float, Wear]:
    """Return the median rows of a run, and a wear that shows early enough for the task."""
    if isinstance(fleet.task, RemainingUsefulLife):
        cap = fleet.task.cap * rows_per_unit(fleet)
        return max(10.0, 1.6 * cap), Wear(max(1.0, 0.44 * cap), 1, 0.06)
    horizon = fleet.task.horizon * rows_per_unit(fleet)
    return max(20.0, 8 * horizon), Wear(horizon + 1.7, 10, 0.0)


def _signature(span: Float64, rng: np.random.Generator) -> Float64:
    """Return the change of each sensor (C,) at failure: a fifth of the range in about half of them, in at least one."""
    moved = rng.random(len(span)) < 0.5
    moved[rng.integers(len(span))] = True
    change: Float64 = moved * rng.choice([-1, 1], len(span)) * rng.uniform(0.15, 0.25, len(span)) * span
    return change


def _ranges(readings: list[Reading]) -> Float64:
    return np.array([r.range for r in readings], np.float64).reshape(len(readings), 2)


def _digits(bounds: tuple[float, float]) -> int:
    """Return the decimals that resolve a range into about ten thousand steps."""
    return int(np.clip(4 - np.floor(np.log10(bounds[1] - bounds[0])), 0, 9))
