"""The records that the demo sends: histories with a known number of bad records, and new devices that no model has seen."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from aimaas.errors import AimaasError
from aimaas.fleet import FleetSpec
from aimaas.settings import Settings
from local.demo.account import EventKey
from stream.devices.faults import FAULTS, Faults
from stream.devices.histories import Histories, truth
from stream.devices.producer import produce
from stream.devices.simulator import simulate

_FIRST_LIVE = 500_000  # number of the first live device; histories have lower numbers
_FINISH_LIMIT_S = 90.0


@dataclass(frozen=True)
class DemoPlan:
    """Sizes, pace (events/s over all devices) and limits of the demo."""

    history_devices: int = 100
    bad_per_reason: int = 20
    live_devices: int = 600  # enough events for the longest training that `train_limit_s` allows
    wave: int = 20
    rate: float = 100.0
    seed: int = 7
    train_limit_s: float = 1_200.0
    score_limit_s: float = 90.0


@dataclass(frozen=True)
class Sent:
    """The records sent: valid events with their true targets (NaN if unknown), and numbers of bad records by reason."""

    truth: dict[EventKey, float]
    refused: dict[str, int]


def send_history(
    settings: Settings,
    fleet: FleetSpec,
    histories: Histories,
    bad_per_reason: int,
    progress: Callable[[int, int], None],
) -> Sent:
    """Send events and outcomes at full speed, with `bad_per_reason` bad records for each reason."""
    counts = dict.fromkeys(FAULTS, bad_per_reason)
    now = datetime.fromtimestamp(time.time(), UTC)
    faults = Faults(fleet, counts, len(histories), 0, now) if bad_per_reason else None
    done = produce(settings, fleet, histories, faults=faults, progress=progress)
    return _sent(fleet, histories, done.events, {r.label: n for r, n in done.faults.items()})


def live_histories(fleet: FleetSpec, plan: DemoPlan) -> Histories:
    """Return new devices in waves: when the devices of one wave have failed, the next wave begins."""
    histories = simulate(fleet, plan.live_devices, plan.seed, _FIRST_LIVE)
    wave_steps = int(histories.step.max()) + 1
    return replace(histories, step=histories.step + histories.device // plan.wave * wave_steps)


class LiveFeed(threading.Thread):
    """A thread that sends histories at a steady rate until all are sent or `finish` is called."""

    def __init__(self, settings: Settings, fleet: FleetSpec, histories: Histories, rate: float) -> None:
        super().__init__(name="live-feed", daemon=True)
        self._settings, self._fleet, self._histories, self._rate = settings, fleet, histories, rate
        self._stopping = threading.Event()
        self._events = 0
        self._error: AimaasError | None = None

    def run(self) -> None:
        """Send until done or stopped; an error is kept for `finish`."""
        try:
            done = produce(self._settings, self._fleet, self._histories, self._rate, stop=self._stopping.is_set)
            self._events = done.events
        except AimaasError as e:
            self._error = e

    def finish(self) -> Sent:
        """Stop, wait until the broker has all sent records, and return them."""
        self._stopping.set()
        self.join(_FINISH_LIMIT_S)
        if self._error:
            raise self._error
        return _sent(self._fleet, self._histories, self._events, {})


def _sent(fleet: FleetSpec, histories: Histories, events: int, refused: dict[str, int]) -> Sent:
    """Return the records sent: the first `events` rows in the order of time."""
    rows = histories.in_time()[:events]
    devices = [histories.devices[d] for d in histories.device[rows].tolist()]
    keys = zip(devices, histories.run[rows].tolist(), histories.seq[rows].tolist(), strict=True)
    return Sent(dict(zip(keys, truth(histories, fleet)[rows].tolist(), strict=True)), refused)
