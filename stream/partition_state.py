"""What the scorer knows of one partition: its devices' state, how far it has read, and what is not yet in the state topic.

A device becomes dirty with its first event after its last snapshot; dirty devices wait in a queue by that offset. Snapshots are
taken from the head of the queue, so few at a time that their bytes stay below a share of the input's. The head's offset is
`replay_from`: state is complete with the snapshots and the input from there on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from aimaas.admission import Batch, Judge
from aimaas.features import Kernel
from aimaas.fleet import FleetSpec
from aimaas.state import DeviceState

CLEAN = -1


class Snapshot(NamedTuple):
    """A device's packed state, which holds its input before offset `upto`."""

    device_id: str
    upto: int
    packed: bytes


class Dirty(NamedTuple):
    """A device that waits for its snapshot since its event at `offset`, which the broker took at `broker_ms`."""

    offset: int
    slot: int
    device_id: str
    broker_ms: int


@dataclass(frozen=True)
class Records:
    """n records of one partition in the order of their offsets: keys, values, offsets (n,) and broker times (n,) in ms."""

    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    offsets: npt.NDArray[np.int64]
    broker_ms: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def value_bytes(self) -> int:
        """Bytes of all values."""
        return sum(len(value) for value in self.values if value is not None)

    def only(self, wanted: Sequence[int]) -> Records:
        """The records at these places."""
        keys, values = [self.keys[i] for i in wanted], [self.values[i] for i in wanted]
        return Records(keys, values, self.offsets[wanted], self.broker_ms[wanted])


def records_of(messages: Sequence[Any]) -> Records:
    """Messages of confluent-kafka, all of one partition, as columns."""
    return Records(
        [m.key() for m in messages],
        [m.value() for m in messages],
        np.array([m.offset() for m in messages], np.int64),
        np.array([m.timestamp()[1] for m in messages], np.int64),
    )


@dataclass
class PartitionState:
    """State of one partition; `position` is the offset of the next record to read."""

    partition: int
    position: int
    devices: DeviceState
    written_replay_from: int = CLEAN  # what the state topic says
    credit_bytes: float = 0.0  # what snapshots may still cost
    _queue: deque[Dirty] = field(default_factory=deque)
    _dirty_since: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    @classmethod
    def empty(cls, fleet: FleetSpec, partition: int, position: int) -> PartitionState:
        """State that has seen nothing."""
        return cls(partition, position, DeviceState.of(fleet))

    @property
    def replay_from(self) -> int:
        """Offset from which the input must be re-read to complete the snapshots."""
        return self._queue[0].offset if self._queue else self.position

    @property
    def dirty(self) -> int:
        """Devices that wait for a snapshot."""
        return len(self._queue)

    @property
    def oldest_dirty_ms(self) -> int | None:
        """Broker time of the oldest event that no snapshot holds."""
        return self._queue[0].broker_ms if self._queue else None

    def advance(self, judge: Judge, kernel: Kernel, records: Records) -> tuple[Batch, npt.NDArray[np.float32]]:
        """Judge records and put the admitted ones into the state; the batch, and features (admitted rows, F).

        Deterministic in the records alone, so that re-reading them gives the same state to the bit.
        """
        batch = judge.decode(records.keys, records.values)
        judge.order(batch, records.broker_ms, self.devices)
        rows = batch.admitted
        slots = batch.slots[rows]
        features = kernel.advance(self.devices, slots, batch.values[rows].astype(np.float32), batch.reset[rows])
        self._note_dirty(batch, rows, slots, records)
        self.position = int(records.offsets[-1]) + 1 if len(records) else self.position
        return batch, features

    def _note_dirty(
        self, batch: Batch, rows: npt.NDArray[np.int64], slots: npt.NDArray[np.int64], records: Records
    ) -> None:
        known = len(self._dirty_since)
        if known < len(self.devices.count):
            grown = np.full(len(self.devices.count), CLEAN, np.int64)
            grown[:known] = self._dirty_since
            self._dirty_since = grown
        clean = np.flatnonzero(self._dirty_since[slots] == CLEAN)
        for row, slot in zip(rows[clean].tolist(), slots[clean].tolist(), strict=True):
            if self._dirty_since[slot] == CLEAN:
                at = batch.at[row]
                self._dirty_since[slot] = records.offsets[at]
                waiting = Dirty(int(records.offsets[at]), slot, batch.device_ids[row], int(records.broker_ms[at]))
                self._queue.append(waiting)

    def take_snapshots(self) -> list[Snapshot]:
        """Snapshots of the devices that have waited longest, within the credit; these devices are clean then."""
        taken = []
        while self._queue and self.credit_bytes > 0:
            waiting = self._queue.popleft()
            packed = self.devices.pack(waiting.slot)
            taken.append(Snapshot(waiting.device_id, self.position, packed))
            self._dirty_since[waiting.slot] = CLEAN
            self.credit_bytes -= len(packed)
        if not self._queue:
            self.credit_bytes = min(self.credit_bytes, 0.0)
        return taken
