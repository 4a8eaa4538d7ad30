"""What the demo sends: histories with a known number of bad records among them, and devices that no model has seen."""

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

_FIRST_LIVE = 500_000  # numbers of live devices begin here: never in a history
_FINISH_LIMIT_S = 90.0


@dataclass(frozen=True)
class DemoPlan:
    """Sizes, pace (events/s over all devices) and limits of the demo."""

    history_devices: int = 100
    bad_per_reason: int = 20
    live_devices: int = 600  # events enough for the longest training that `train_limit_s` allows
    wave: int = 20
    rate: float = 100.0
    seed: int = 7
    train_limit_s: float = 1_200.0
    score_limit_s: float = 90.0


@dataclass(frozen=True)
class Sent:
    """What was sent: the valid events with their true targets (NaN where nobody can know), and bad records by reason."""

    truth: dict[EventKey, float]
    refused: dict[str, int]


def send_history(
    settings: Settings,
    fleet: FleetSpec,
    histories: Histories,
    bad_per_reason: int,
    progress: Callable[[int, int], None],
) -> Sent:
    """Send events and outcomes at full speed, `bad_per_reason` bad records of every reason among them."""
    counts = dict.fromkeys(FAULTS, bad_per_reason)
    now = datetime.fromtimestamp(time.time(), UTC)
    faults = Faults(fleet, counts, len(histories), 0, now) if bad_per_reason else None
    done = produce(settings, fleet, histories, faults=faults, progress=progress)
    return _sent(fleet, histories, done.events, {r.label: n for r, n in done.faults.items()})


def live_histories(fleet: FleetSpec, plan: DemoPlan) -> Histories:
    """Devices that never were in a history, in waves: when one wave has run to failure the next begins."""
    histories = simulate(fleet, plan.live_devices, plan.seed, _FIRST_LIVE)
    wave_steps = int(histories.step.max()) + 1
    return replace(histories, step=histories.step + histories.device // plan.wave * wave_steps)


class LiveFeed(threading.Thread):
    """Sends histories at a steady rate in a thread of its own until they are out or it is told to finish."""

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
        """Stop, wait until the broker has all that was sent, and say what that was."""
        self._stopping.set()
        self.join(_FINISH_LIMIT_S)
        if self._error:
            raise self._error
        return _sent(self._fleet, self._histories, self._events, {})


def _sent(fleet: FleetSpec, histories: Histories, events: int, refused: dict[str, int]) -> Sent:
    """The first `events` rows in the order of time are those that were sent."""
    rows = histories.in_time()[:events]
    devices = [histories.devices[d] for d in histories.device[rows].tolist()]
    keys = zip(devices, histories.run[rows].tolist(), histories.seq[rows].tolist(), strict=True)
    return Sent(dict(zip(keys, truth(histories, fleet)[rows].tolist(), strict=True)), refused)
