"""What a broker may receive of some devices: events in order, late, doubled, changed, after silences, from counters set back."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np

from aimaas.admission.partitioner import partition_of
from aimaas.fleet import FleetSpec
from aimaas.topics import topic_names

BEGAN = datetime(2026, 11, 23, tzinfo=UTC)
DEVICES = [f"d{i}" for i in range(12)]
PARTITIONS = 2


class Received(NamedTuple):
    """A record as bronze has it."""

    topic: str
    partition: int
    offset: int
    broker_ts: datetime
    key: bytes
    value: bytes


class Arrivals:
    """Makes records, second by second of the broker's clock."""

    def __init__(self, fleet: FleetSpec, seed: int) -> None:
        self.fleet, self.topics = fleet, topic_names(fleet)
        self.now, self._rng = BEGAN, np.random.default_rng(seed)
        self._offsets: dict[tuple[str, int], int] = {}
        self._run, self._seq = dict.fromkeys(DEVICES, 0), dict.fromkeys(DEVICES, 0)
        self._held: list[tuple[str, bytes]] = []
        self._sent: list[tuple[str, bytes]] = []

    def some(self, count: int) -> list[Received]:
        """Records of random devices; now and then one of them fails and begins a new run."""
        return [record for _ in range(count) for record in self._one(str(self._rng.choice(DEVICES)))]

    def silence(self, seconds: float) -> None:
        """Nothing comes for so long; after it the counters of some devices are set back."""
        self.now += timedelta(seconds=seconds)
        for device in DEVICES[::3]:
            self._seq[device] = max(self._seq[device] - 8, 0)

    def event(self, device: str, run: int, seq: int, heat: float | None = None, age_s: float = 0) -> Received:
        """One event, received now and measured `age_s` before."""
        return self._take(self.topics.events, device, self._event(device, run, seq, heat, age_s))

    def outcome(self, device: str, run: int, seq: int, kind: str = "failed") -> Received:
        """One outcome."""
        found = {
            "fleet": self.fleet.fleet,
            "device_id": device,
            "run": run,
            "seq": seq,
            "ts": BEGAN.isoformat(),
            "kind": kind,
        }
        return self._take(self.topics.outcomes, device, json.dumps(found).encode())

    def _one(self, device: str) -> list[Received]:
        self._seq[device] += 1
        value, drawn = self._event(device, self._run[device], self._seq[device]), self._rng.random()
        if drawn < 0.15:
            self._held.append((device, value))
            return []
        found = [self._take(self.topics.events, device, value)]
        if drawn < 0.3 and self._held:
            found.append(self._take(self.topics.events, *self._held.pop(int(self._rng.integers(len(self._held))))))
        elif drawn < 0.4:
            found.append(self._take(self.topics.events, *self._sent[int(self._rng.integers(len(self._sent)))]))
        elif drawn < 0.45:
            found.append(self.event(device, self._run[device], max(self._seq[device] - 3, 0), heat=1.0))
        elif drawn < 0.5:
            found += self._ended(device)
        return found

    def _ended(self, device: str) -> list[Received]:
        """The run failed, or was just given up; its outcome may come at once or never."""
        run, seq = self._run[device], self._seq[device]
        self._run[device], self._seq[device] = run + 1, 0
        kind = "failed" if self._rng.random() < 0.7 else "retired"
        return [self.outcome(device, run, seq, kind)] if self._rng.random() < 0.7 else []

    def _event(self, device: str, run: int, seq: int, heat: float | None = None, age_s: float = 0) -> bytes:
        readings: dict[str, Any] = {
            "mode": seq % 3,
            "heat": heat or float(self._rng.uniform(200, 800)),
            "load": 1.0 * (seq % 7),
        }
        ts = (self.now - timedelta(seconds=age_s)).isoformat()
        event = {"fleet": self.fleet.fleet, "device_id": device, "run": run, "seq": seq, "ts": ts, "readings": readings}
        return json.dumps(event).encode()

    def _take(self, topic: str, device: str, value: bytes) -> Received:
        self.now += timedelta(seconds=1)
        at = (topic, partition_of(device.encode(), PARTITIONS))
        offset = self._offsets.get(at, 0)
        self._offsets[at] = offset + 1
        if topic == self.topics.events:
            self._sent.append((device, value))
        return Received(*at, offset, self.now, device.encode(), value)
