"""Turns rows of a recording into records, in the order of time."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from aimaas.fleet import FleetSpec
from stream.devices.histories import Ending, Histories, Int64, step_times_us
from stream.devices.producer import Chunk, Encoder, due
from stream.replay.recording import Found, Recording
from stream.replay.rows import ENDINGS, EVENT, NOTHING, OBSERVED, Rows

_INTERVAL_S = 1.0


def chunks(fleet: FleetSpec, found: Found, rate: float | None, now_us: int) -> Iterator[Chunk]:
    """Yield events and outcomes as they become due, `rate` rows a second, None for at once, with the number of rows so far.

    `now_us` is the time at which a recording without times ends. With a rate, such a recording gets the time of sending if
    the fleet has `order: seq`.
    """
    stamped = rate is not None and found.recording.last_step is not None and fleet.order == "seq"
    queue = _Queue(found.rows)
    for begin, end in due(found.total, rate):
        rows = queue.take(end - begin)
        histories = _histories(fleet, found.recording, rows)
        if stamped:
            times = np.full(len(rows), int(time.time() * 1e3) * 1000, np.int64)
        else:
            times = _times_us(found.recording, rows, now_us)
        encoder = Encoder(fleet, histories)
        events = np.flatnonzero(rows["what"] == EVENT)
        outcomes = [encoder.outcome(e, int(times[e.row])) for e in histories.endings]
        yield encoder.events(events, times[events]), outcomes, end


class _Queue:
    """A queue that takes parts of rows and returns other sizes."""

    def __init__(self, parts: Iterator[Rows]) -> None:
        self._parts = parts
        self._rows: Rows | None = None

    def take(self, count: int) -> Rows:
        """Return the next `count` rows, fewer at the end."""
        taken: list[Rows] = []
        while count:
            if self._rows is None or not len(self._rows):
                self._rows = next(self._parts, None)
                if self._rows is None:
                    break
            taken.append(self._rows[:count])
            self._rows = self._rows[count:]
            count -= len(taken[-1])
        return np.concatenate(taken)


def _histories(fleet: FleetSpec, recording: Recording, rows: Rows) -> Histories:
    """Return rows as histories of their few devices."""
    devices, device = np.unique(rows["device"], return_inverse=True)
    return Histories(
        fleet=fleet.fleet,
        devices=[recording.devices[d] for d in devices.tolist()],
        device=device.astype(np.int64),
        run=rows["run"].astype(np.int64),
        seq=rows["seq"],
        step=rows["time"],
        values=rows["values"],
        endings=endings(recording, rows),
    )


def endings(recording: Recording, rows: Rows) -> list[Ending]:
    """Return the endings of runs that the rows state."""
    found = []
    for at in np.flatnonzero(rows["ending"] != NOTHING).tolist():
        code, seq, mode = int(rows["ending"][at]), int(rows["seq"][at]), int(rows["mode"][at])
        kind = ENDINGS[code] if code != OBSERVED else "retired"
        assert kind is not None  # noqa: S101 - NOTHING was left out
        seq += recording.horizon if code == OBSERVED else 0
        found.append(Ending(at, seq, kind, recording.modes[mode] if mode >= 0 else None))
    return found


def _times_us(recording: Recording, rows: Rows, now_us: int) -> Int64:
    """Return times (n,): the recorded ones, otherwise steps whose last one ends now."""
    if recording.last_step is None:
        return rows["time"].copy()
    last, devices = recording.last_step, len(recording.devices)
    return step_times_us(rows["time"], rows["device"].astype(np.int64), devices, last, _INTERVAL_S, now_us)
