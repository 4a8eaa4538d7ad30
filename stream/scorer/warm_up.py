"""Warm-up: loads compiled code before the first event arrives."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import numpy as np

from aimaas.admission.judge import Judge
from aimaas.admission.partitioner import partition_of
from aimaas.alerts.machine import precompile as precompile_rules
from aimaas.fleet import FleetSpec
from aimaas.kernel.features import Kernel
from aimaas.records.events import encode_event
from aimaas.records.nesting import SHALLOW_BYTES, is_too_deep
from stream.state.partition import PartitionState, Records

_DEVICE = "warm-up"


def warm_up(fleet: FleetSpec, judge: Judge, kernel: Kernel) -> None:
    """Put one event into a temporary state, which loads the compiled code."""
    if fleet.rules:
        precompile_rules()
    is_too_deep(b"[" * 2 * SHALLOW_BYTES)
    readings = zip(fleet.readings, fleet.reading_specs, strict=True)
    values: dict[str, float | None] = {name: sum(spec.range) / 2 for name, spec in readings}
    event = encode_event(fleet.fleet, _DEVICE, 0, 0, datetime.now(UTC), values)
    one, now_ms = np.zeros(1, np.int64), np.array([int(time.time() * 1e3)], np.int64)
    partition = partition_of(_DEVICE.encode(), fleet.topics.partitions)
    PartitionState.empty(fleet, partition, 0).advance(judge, kernel, Records([_DEVICE.encode()], [event], one, now_ms))
