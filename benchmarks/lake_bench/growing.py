"""Events of devices that all report at each step, for any number of steps, with only a few steps in memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from aimaas.fleet import FleetSpec
from stream.devices.histories import Ending, Histories
from stream.devices.simulator import device_id

_LIFE = 50  # steps of a run; then the device fails and begins the next run
_BLOCK = 200_000  # rows at once


def steps_of(fleet: FleetSpec, devices: int, first: int, count: int) -> Iterator[Histories]:
    """Yield `count` steps of `devices` devices from step `first` on, in blocks; readings are noise within their ranges."""
    block = max(1, min(_BLOCK // devices, _LIFE))
    for begin in range(first, first + count, block):
        yield _block(fleet, devices, np.arange(begin, min(begin + block, first + count)))


def _block(fleet: FleetSpec, devices: int, steps: np.ndarray) -> Histories:
    random = np.random.default_rng([7, int(steps[0])])
    device, step = np.repeat(np.arange(devices), len(steps)), np.tile(steps, devices)
    seq = step % _LIFE + 1
    low, high = np.array([r.range for r in fleet.reading_specs]).T
    noise = 0.5 + 0.1 * random.standard_normal((len(step), len(low)))
    values = low + (high - low) * np.clip(noise, 0, 1)
    endings = [Ending(int(row), _LIFE, "failed") for row in np.flatnonzero(seq == _LIFE)]
    names = [device_id(fleet, n) for n in range(devices)]
    return Histories(fleet.fleet, names, device, step // _LIFE, seq, step, values, endings)
