"""`aimaas devices`: simulated devices that run and send."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime

from aimaas.admission.judge import Reason
from aimaas.fleet import FleetSpec
from aimaas.settings import Settings
from stream.devices.faults import Faults
from stream.devices.producer import Produced, Progress, produce
from stream.devices.simulator import simulate


def run_devices(
    settings: Settings,
    fleet: FleetSpec,
    devices: int,
    seed: int,
    rate: float | None = None,
    first_device: int = 0,
    faults: Mapping[Reason, int] | None = None,
    progress: Progress | None = None,
) -> Produced:
    """Simulate `devices` devices, numbered from `first_device`, and send what they report.

    `rate` is in events/s over all devices, None for full speed; `faults` is the number of bad records of each reason
    between the good ones. Raises KafkaError if the broker or the topics are missing. Code that also needs the truth calls
    `simulate` and `produce`.
    """
    histories = simulate(fleet, devices, seed, first_device)
    now = datetime.fromtimestamp(time.time(), UTC)
    spoiler = Faults(fleet, faults, len(histories), seed, now) if faults else None
    return produce(settings, fleet, histories, rate, spoiler, progress)
