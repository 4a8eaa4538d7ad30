"""The scorer's state of one partition: device state, the position, and the changes that are not yet in the state topic.

The first event that changes a device after its last snapshot makes it dirty: an admitted event, or one refused as a jump.
Dirty devices wait in a queue by that event's offset. Snapshots are taken from the head of the queue, so few at a time that
their bytes stay below a share of the input's bytes. The head's offset is `replay_from`: the snapshots and the input from
there on give the complete state. For a forgotten device the topic holds a note until `replay_from` has passed it. A scorer
that re-reads the input skips the device's events before the note, and forgets no device twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from aimaas.admission.judge import Batch, Judge
from aimaas.admission.rules import widened
from aimaas.fleet import FleetSpec
from aimaas.kernel.features import Kernel
from aimaas.kernel.state import DeviceState, Forgotten
from stream.state.records import (
    StateRecord,
    deletion,
    device_record,
    position_record,
    refusals_record,
    replay_record,
)
from stream.state.refusals import RefusalWindow

CLEAN = -1


class Dirty(NamedTuple):
    """A device that waits for its snapshot since its event at `offset`, which has the broker time `broker_ms`."""

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
        """Return the records at these places."""
        keys, values = [self.keys[i] for i in wanted], [self.values[i] for i in wanted]
        return Records(keys, values, self.offsets[wanted], self.broker_ms[wanted])


def records_of(messages: Sequence[Any]) -> Records:
    """Return messages of confluent-kafka, all of one partition, as columns."""
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
    topic_id: str = ""  # of the topic that the offsets refer to
    written_position: int = CLEAN  # as the state topic has it
    written_replay_from: int = CLEAN  # as the state topic has it
    credit_bytes: float = 0.0  # bytes that snapshots may still take
    forgotten: dict[str, int] = field(default_factory=dict)  # `upto` of the devices with a note, ascending
    refusals: RefusalWindow = field(default_factory=RefusalWindow)
    outdated: list[bytes] = field(default_factory=list)  # keys in the state topic of records about another topic
    saved_rules: dict[str, bytes] = field(default_factory=dict)  # by device, as the state topic had them at the restore
    _unwritten: set[str] = field(default_factory=set)  # those of `forgotten` whose note is not in the topic
    _queue: deque[Dirty] = field(default_factory=deque)
    _dirty_since: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    @classmethod
    def empty(cls, fleet: FleetSpec, partition: int, position: int) -> PartitionState:
        """Return the state before the first event."""
        return cls(partition, position, DeviceState.of(fleet))

    @property
    def replay_from(self) -> int:
        """Offset from which a restore must re-read the input to complete the snapshots."""
        return self._queue[0].offset if self._queue else self.position

    @property
    def dirty(self) -> int:
        """Number of devices that wait for a snapshot."""
        return len(self._queue)

    @property
    def oldest_dirty_ms(self) -> int | None:
        """Broker time of the oldest event that is in no snapshot."""
        return self._queue[0].broker_ms if self._queue else None

    def advance(
        self, judge: Judge, kernel: Kernel, records: Records, forgets: bool = True
    ) -> tuple[Batch, npt.NDArray[np.float32]]:
        """Judge records and put the admitted ones into the state. Returns the batch, and features (admitted rows, F).

        A judge of older rules may have fewer readings than the state: readings that were added since are null.

        The result depends on the records alone, so that re-reading them gives the same state to the bit. Without `forgets`
        no device is evicted for a new one: for records from a time for which all evictions have notes.
        """
        batch = judge.decode(records.keys, records.values)
        judge.order(batch, records.broker_ms, self.devices, forgets, self.partition)
        rows = batch.admitted
        slots = batch.slots[rows]
        values = widened(batch.values[rows].astype(np.float32), judge.fleet.readings, self.devices.readings)
        features = kernel.advance(self.devices, slots, values, batch.reset[rows])
        self._note(batch, np.flatnonzero(batch.moved), records)
        self.position = int(records.offsets[-1]) + 1 if len(records) else self.position
        return batch, features

    def count_refusals(self, batch: Batch, records: Records) -> None:
        """Count a judged batch towards the limit on dead letters."""
        keys = [records.keys[i] for i in np.flatnonzero(batch.reason).tolist()]
        known = [key is not None and key.decode("utf-8", "replace") in self.devices for key in keys]
        self.refusals.count(records.broker_ms, batch.reason, keys, known)

    def _note(self, batch: Batch, rows: npt.NDArray[np.int64], records: Records) -> None:
        """Note the devices that the `rows` made dirty, and the forgotten devices.

        This goes in order, because a slot may change its device within the batch.
        """
        known = len(self._dirty_since)
        if known < len(self.devices.count):
            grown = np.full(len(self.devices.count), CLEAN, np.int64)
            grown[:known] = self._dirty_since
            self._dirty_since = grown
        done = 0
        for row, forgotten in batch.forgotten:
            end = int(np.searchsorted(rows, row))
            self._note_dirty(batch, rows[done:end], records)
            self._note_forgotten(forgotten, int(records.offsets[batch.at[row]]) + 1)
            done = end
        self._note_dirty(batch, rows[done:], records)

    def _note_dirty(self, batch: Batch, rows: npt.NDArray[np.int64], records: Records) -> None:
        slots = batch.slots[rows]
        clean = np.flatnonzero(self._dirty_since[slots] == CLEAN)
        for row, slot in zip(rows[clean].tolist(), slots[clean].tolist(), strict=True):
            if self._dirty_since[slot] == CLEAN:
                at = batch.at[row]
                self._dirty_since[slot] = records.offsets[at]
                waiting = Dirty(int(records.offsets[at]), slot, batch.device_ids[row], int(records.broker_ms[at]))
                self._queue.append(waiting)

    def _note_forgotten(self, gone: Forgotten, upto: int) -> None:
        self._dirty_since[gone.slots] = CLEAN
        self._queue = deque(w for w in self._queue if self._dirty_since[w.slot] == w.offset)
        for device_id in gone.device_ids:
            self.forgotten.pop(device_id, None)  # it moves to the end
            self.forgotten[device_id] = upto
        self._unwritten.update(gone.device_ids)

    def records_to_write(self) -> list[StateRecord]:
        """Return the records that the state topic must get in the transaction that commits `position`, and count them as written.

        1. deletions of records about a topic that no longer exists; 2. notes of the devices forgotten since the last
        commit;
        3. snapshots of the devices that have waited longest, as far as the credit goes; they are clean then;
        4. `replay_from`, which 3 moves and which relies on 2 and 3; 5. a deletion for each note that it has passed;
        6. how many records were refused lately; 7. the position, with the id of the topic that all of this is about.
        If only the first records are written, the topic still gives a valid state. If the transaction is aborted, the topic
        does not hold them: restore memory from the topic.
        """
        snapshots = self._snapshots()
        passed = self._drop_notes()
        records = [StateRecord(key, None) for key in self.outdated] + self._new_notes() + snapshots
        self.outdated = []
        if self.replay_from != self.written_replay_from:
            records.append(replay_record(self.replay_from))
            self.written_replay_from = self.replay_from
        records += passed
        if self.refusals.changed:
            records.append(refusals_record(self.refusals.pack()))
        if self.position != self.written_position:
            records.append(position_record(self.topic_id, self.position))
            self.written_position = self.position
        return records

    def _snapshots(self) -> list[StateRecord]:
        taken = []
        while self._queue and self.credit_bytes > 0:
            waiting = self._queue.popleft()
            packed = self.devices.pack(waiting.slot)
            taken.append(device_record(waiting.device_id, self.position, packed))
            self._dirty_since[waiting.slot] = CLEAN
            self.credit_bytes -= len(packed)
            if self.forgotten.pop(waiting.device_id, None):  # its snapshot replaces the note in the topic
                self._unwritten.discard(waiting.device_id)
        if not self._queue:
            self.credit_bytes = min(self.credit_bytes, 0.0)
        return taken

    def _drop_notes(self) -> list[StateRecord]:
        """Return deletions of the notes that a restore from `replay_from` does not need."""
        passed = [d for d, _ in takewhile(lambda item: item[1] <= self.replay_from, self.forgotten.items())]
        for device_id in passed:
            del self.forgotten[device_id]
        return [deletion(d) for d in passed]

    def _new_notes(self) -> list[StateRecord]:
        new, self._unwritten = self._unwritten.intersection(self.forgotten), set()
        return [device_record(d, self.forgotten[d]) for d in sorted(new)]
