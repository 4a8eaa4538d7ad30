"""Device state: the last raw readings of every device, in flat arrays.

It holds raw readings only, never normalised or aggregated values, so it can serve any model version at once. A slot holds

- `ring` (W rows × R, float32): the last rows, newest at `(count - 1) % W`; `held` is their number,
- `first` (K rows × R, float32): the first rows of the run; `started` is their number,
- `count`: rows in the run; `run`, `newest`: the device's newest order key; `seen_ms`: broker time of its newest row (0: empty),
- `regimes`, `first_regimes`: the rows' regimes, noted by the kernel with the token `noted_by`; never packed, because a kernel
  with another fit notes them again,
- `admitted`: number of admitted rows; the order keys and content digests of the last H of them, which distinguish duplicates
  from conflicts and late events,
- `jump`: run and order of the newest record that was refused as a jump, and the number of increasing ones up to it; else zeros.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from aimaas.errors import StateError
from aimaas.fleet import FleetSpec
from aimaas.kernel.eviction import devices_to_forget
from aimaas.kernel.state_layouts import Layouts, readings_digest

HISTORY = 8  # order keys kept per device
LAYOUT = 2
_TAILS = {1: 0, 2: 24}  # bytes at the end by layout: layout 1 has no `jump`
_HEAD = struct.Struct(
    "<HHHH8sqqqqq"
)  # layout, rows, first rows, R, digest of readings, count, run, newest, seen_ms, admitted
_START_SLOTS = 256
_MOST_NEW_SLOTS = 4096  # at once: 33 MB in the turbofan fleet
_ORDER = ("run", "newest", "seen_ms", "keys", "digests", "admitted", "jump")  # the arrays that the judge keeps


class Forgotten(NamedTuple):
    """Devices that were evicted together, and their former slots (n,) int64."""

    device_ids: list[str]
    slots: npt.NDArray[np.int64]


class DeviceState:
    """State of the devices of one partition (or one Spark task). Not thread-safe."""

    def __init__(
        self, readings: Sequence[str], window: int, first: int, fills: Mapping[str, float] | None = None
    ) -> None:
        """`fills` (by reading) are the values that `unpack` uses for readings that a packed device lacks."""
        self.readings, self.window, self.first_rows = tuple(readings), window, first
        self.digest = readings_digest(self.readings)
        self._layouts = Layouts(self.readings, fills or {})
        self._slots: dict[str, int] = {}
        self._free: list[int] = []
        self._allocate(_START_SLOTS)

    @classmethod
    def of(cls, fleet: FleetSpec) -> DeviceState:
        """Empty state with the W and K of the fleet."""
        fills = {n: r.fill_value for n, r in zip(fleet.readings, fleet.reading_specs, strict=True) if r.nullable}
        return cls(fleet.readings, max(fleet.features.windows, default=1), fleet.features.first, fills)

    def _allocate(self, slots: int) -> None:
        r = len(self.readings)
        self.ring = np.zeros((slots, self.window, r), np.float32)
        self.first = np.zeros((slots, self.first_rows, r), np.float32)
        self.count = np.zeros(slots, np.int64)
        self.held = np.zeros(slots, np.int64)
        self.started = np.zeros(slots, np.int64)
        self.regimes = np.zeros((slots, self.window), np.int8)
        self.first_regimes = np.zeros((slots, self.first_rows), np.int8)
        self.noted_by = np.zeros(slots, np.int64)
        self.run = np.zeros(slots, np.int64)
        self.newest = np.zeros(slots, np.int64)
        self.seen_ms = np.zeros(slots, np.int64)
        self.keys = np.zeros((slots, HISTORY, 2), np.int64)
        self.digests = np.zeros((slots, HISTORY), np.uint64)
        self.admitted = np.zeros(slots, np.int64)
        self.jump = np.zeros((slots, 3), np.int64)

    _ARRAYS = (
        "ring",
        "first",
        "count",
        "held",
        "started",
        "regimes",
        "first_regimes",
        "noted_by",
        "run",
        "newest",
        "seen_ms",
        "keys",
        "digests",
        "admitted",
        "jump",
    )

    def __len__(self) -> int:
        return len(self._slots)

    def __contains__(self, device_id: str) -> bool:
        return device_id in self._slots

    @property
    def devices(self) -> Iterator[tuple[str, int]]:
        """Device ids with their slots."""
        return iter(self._slots.items())

    @property
    def bytes_per_device(self) -> int:
        """Bytes of one slot over all arrays."""
        return sum(a.nbytes // len(a) for a in (getattr(self, name) for name in self._ARRAYS))

    def slots_of_known(self, device_ids: Sequence[str]) -> npt.NDArray[np.int64] | None:
        """Slot of each device, shape (n,); None if one of them has no slot."""
        get = self._slots.get
        found = [get(d, -1) for d in device_ids]
        return None if -1 in found else np.array(found, np.int64)

    def slots(self, device_ids: Sequence[str], most: int = sys.maxsize) -> npt.NDArray[np.int64]:
        """Slot of each device, shape (n,); a new device gets a slot.

        The result ends before the first new device for which `most` devices are here already.
        """
        found = self.slots_of_known(device_ids)
        return np.array(self._slots_with_new(device_ids, most), np.int64) if found is None else found

    def _slots_with_new(self, device_ids: Sequence[str], most: int) -> list[int]:
        found = []
        for device_id in device_ids:
            if len(self._slots) >= most and device_id not in self._slots:
                break
            found.append(self._slot(device_id))
        return found

    def _slot(self, device_id: str) -> int:
        slot = self._slots.get(device_id)
        if slot is None:
            if self._free:
                slot = self._free.pop()
            else:
                slot = len(self._slots)
                if slot == len(self.count):
                    self._grow()
            self._slots[device_id] = slot
        return slot

    def _grow(self) -> None:
        """Add an eighth to the slots, in place: the allocator moves pages, not bytes, so there is never a second copy."""
        slots = len(self.count)
        slots += min(max(slots // 8, _START_SLOTS), _MOST_NEW_SLOTS)
        for name in self._ARRAYS:
            array = getattr(self, name)
            array.resize((slots, *array.shape[1:]), refcheck=False)  # nobody keeps a view; new slots are zero

    def seen_since(self, ms: int) -> int:
        """Number of devices whose newest row the broker received at that time (ms since 1970) or later."""
        return int(np.count_nonzero(self.seen_ms >= max(ms, 1)))

    def forget(self, device_id: str) -> None:
        """Free the device's slot. Its next event makes it a new device, which begins a run. The kernel's arrays stay until then."""
        self._release([device_id])

    def forget_for_room(self, now_ms: int, silence_ms: int, most: int) -> Forgotten:
        """Evict silent devices so that fewer than `most` remain; see `aimaas.kernel.eviction`."""
        device_ids = list(self._slots)
        seen_ms = self.seen_ms[np.fromiter(self._slots.values(), np.int64, len(device_ids))]
        gone = [device_ids[i] for i in devices_to_forget(device_ids, seen_ms, now_ms, silence_ms, most)]
        return Forgotten(gone, self._release(gone))

    def _release(self, device_ids: Sequence[str]) -> npt.NDArray[np.int64]:
        slots = [self._slots.pop(d) for d in device_ids]
        for name in _ORDER:
            getattr(self, name)[slots] = 0
        self._free += slots
        return np.array(slots, np.int64)

    def pack(self, slot: int) -> bytes:
        """Return the slot as bytes, rows in order of time; `unpack` reads it into state with any window."""
        count, rows, first = int(self.count[slot]), int(self.held[slot]), int(self.started[slot])
        admitted = int(self.admitted[slot])
        head = _HEAD.pack(
            LAYOUT, rows, first, len(self.readings), self.digest,
            count, self.run[slot], self.newest[slot], self.seen_ms[slot], admitted,
        )  # fmt: skip
        begin = (count - rows) % self.window  # the rows continue at the beginning of the ring
        return b"".join(
            (
                head,
                self.ring[slot, begin : begin + rows].tobytes(),
                self.ring[slot, : max(begin + rows - self.window, 0)].tobytes(),
                self.first[slot, :first].tobytes(),
                self.keys[slot, :].tobytes(),
                self.digests[slot].tobytes(),
                self.jump[slot].tobytes(),
            )
        )

    def unpack(self, device_id: str, packed: bytes) -> None:
        """Restore a device's packed state. Raises StateError if layout or readings differ."""
        layout, rows, first, r, digest, count, run, newest, seen_ms, admitted = self._head(device_id, packed)
        written = self._layouts.of(digest, r)
        if layout not in _TAILS or written is None:
            raise StateError(
                f"state of device {device_id!r} has layout {layout} and {r} readings, this scorer layout {LAYOUT} and "
                f"{len(self.readings)}, and more has changed than added nullable readings: start it with the "
                "fleet file that the state was written with, or empty the state topic"
            )
        sizes = [rows * r * 4, first * r * 4, HISTORY * 16, HISTORY * 8, _TAILS[layout]]
        ends = np.cumsum([_HEAD.size, *sizes])
        if len(packed) != ends[-1]:
            raise StateError(f"state of device {device_id!r} is torn: {len(packed)} bytes instead of {ends[-1]}")
        parts = [packed[a:b] for a, b in pairwise(ends)]
        slot = self._slot(device_id)
        kept = min(rows, self.window)
        ring = written.widened(np.frombuffer(parts[0], np.float32).reshape(rows, r)[rows - kept :])
        self.ring[slot, [(count - kept + i) % self.window for i in range(kept)]] = ring
        kept_first = min(first, self.first_rows)
        self.first[slot, :kept_first] = written.widened(
            np.frombuffer(parts[1], np.float32).reshape(first, r)[:kept_first]
        )
        self.keys[slot] = np.frombuffer(parts[2], np.int64).reshape(HISTORY, 2)
        self.digests[slot] = np.frombuffer(parts[3], np.uint64)
        self.jump[slot] = np.frombuffer(parts[4], np.int64) if parts[4] else 0
        self.count[slot], self.held[slot], self.started[slot], self.admitted[slot] = count, kept, kept_first, admitted
        self.run[slot], self.newest[slot], self.seen_ms[slot] = run, newest, seen_ms
        self.noted_by[slot] = 0

    @staticmethod
    def _head(device_id: str, packed: bytes) -> tuple[int, int, int, int, bytes, int, int, int, int, int]:
        if len(packed) < _HEAD.size:
            raise StateError(f"state of device {device_id!r} is torn: {len(packed)} bytes; empty the state topic")
        layout, rows, first, r, digest, count, run, newest, seen_ms, admitted = _HEAD.unpack(packed[: _HEAD.size])
        return layout, rows, first, r, digest, count, run, newest, seen_ms, admitted
