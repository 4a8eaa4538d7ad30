"""A dirty day: simulated devices and, at stated rates, all that goes wrong with them, each fault with what must become of it.

A fault that breaks a declared rule has the reason of its refusal. The others are admitted: no rule on a row can see a stuck sensor,
a reading in another unit that stays within its range, or a clock that goes back; an expectation on many rows must.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np

from aimaas.admission.judge import Reason
from aimaas.fleet import FleetSpec
from stream.devices.faults import Faults
from stream.devices.producer import Encoder
from stream.devices.simulator import simulate

HOUR_US = 3_600_000_000
REASONS: Mapping[Reason, float] = {
    Reason.DUPLICATE: 0.02,
    Reason.CONFLICT: 0.01,
    Reason.LATE: 0.005,  # older than all that the device sent
    Reason.MISSING_READING: 0.01,  # left out, or null
    Reason.NOT_FINITE: 0.01,
    Reason.OUT_OF_RANGE: 0.02,
    Reason.UNPARSABLE: 0.01,
    Reason.SCHEMA: 0.005,
    Reason.SKEW: 0.005,  # a clock that jumps ahead
    Reason.WRONG_FLEET: 0.002,
    Reason.KEY_MISMATCH: 0.002,
    Reason.OVERSIZED: 0.001,
    Reason.JUMP: 0.002,  # a counter that runs wild
}


@dataclass(frozen=True)
class Rates:
    """Shares: of the good records for each of `refused`, `swapped` and `clock_back`, of the devices for `stuck` and `mixed_up`."""

    refused: Mapping[Reason, float] = field(default_factory=lambda: REASONS)
    swapped: float = 0.01  # overtaken by the device's next record, and so late
    clock_back: float = 0.03  # an hour behind
    stuck: float = 0.1
    mixed_up: float = 0.15


class Sent(NamedTuple):
    """A record, and the reason why it must be refused."""

    key: bytes
    value: bytes | None
    reason: Reason


@dataclass(frozen=True)
class Blind:
    """What no rule on a row sees: the sensor that is stuck, and the one in another unit, `factor` times what it should be."""

    stuck: str
    mixed_up: str
    factor: float
    rows: int = 90  # that a sensor is stuck for


def dirty_day(
    fleet: FleetSpec, devices: range, seed: int, now: datetime, blind: Blind, rates: Rates = Rates()
) -> list[Sent]:
    """A day of these devices, in the order of sending; `now` must be close to the broker's time."""
    rng = np.random.default_rng([seed, 5])
    histories = simulate(fleet, len(devices), seed, devices.start)
    _blind_faults(fleet, histories, blind, rates, rng)
    order = histories.in_time()
    times = histories.times_us(int(now.timestamp() * 1e6))[order]
    times[rng.random(len(times)) < rates.clock_back] -= HOUR_US
    records = Encoder(fleet, histories).events(order, times)
    overtaken = _overtaken(histories.device[order], histories.seq[order], rates.swapped, rng)
    after = {records[later]: records[earlier] for earlier, later in overtaken.items()}
    kept = [record for i, record in enumerate(records) if i not in overtaken]
    counts = {reason: round(rate * len(kept)) for reason, rate in rates.refused.items()}
    faults = Faults(fleet, counts, len(kept), seed, now)
    sent = []
    for key, value, reason in [*faults.feed(kept), *faults.drain()]:
        sent.append(Sent(key, value, reason))
        if reason == Reason.ADMITTED and (key, value) in after:
            sent.append(Sent(*after[key, value or b""], Reason.LATE))
    return sent


def _blind_faults(fleet: FleetSpec, histories: Any, blind: Blind, rates: Rates, rng: np.random.Generator) -> None:
    """Spoil the sensors of some devices, of others for each kind."""
    names, count = list(fleet.readings), len(histories.devices)
    chosen = rng.permutation(count)
    stuck = chosen[: round(rates.stuck * count)]
    mixed_up = chosen[len(stuck) : len(stuck) + round(rates.mixed_up * count)]
    for device in stuck:
        rows = np.flatnonzero(histories.device == device)[20 : 20 + blind.rows]
        histories.values[rows, names.index(blind.stuck)] = histories.values[rows[0], names.index(blind.stuck)]
    histories.values[np.isin(histories.device, mixed_up), names.index(blind.mixed_up)] *= blind.factor


def _overtaken(device: Any, seq: Any, rate: float, rng: np.random.Generator) -> dict[int, int]:
    """Places of records that come after the next one of their device -> its place; never a device's first, nor two in a row."""
    chosen = set(np.flatnonzero(rng.random(len(device)) < rate).tolist())
    newest: dict[int, int] = {}
    found: dict[int, int] = {}
    for place, of in enumerate(device.tolist()):
        before = newest.get(of)
        if before in chosen and seq[before] > 1 and place not in chosen:
            found[before] = place
        newest[of] = place
    return found
