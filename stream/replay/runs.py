"""Turns rows in the order of device, run and place into rows to send: counted, ended, and in long format joined."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stream.replay.cells.mistakes import Mistakes, Refused
from stream.replay.mapping.schema import Mapping, OutcomeSource
from stream.replay.rows import ENDINGS, EVENT, NOTHING, OBSERVED, OUTCOME, Rows, begins

Int64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def order_of(mapping: Mapping) -> tuple[str, ...]:
    """Return the fields by which rows are sorted, so that each run is contiguous and in order."""
    place = "seq" if mapping.seq else "time"
    return ("device", "run", place, "what", "row")


def whole_groups(parts: Iterable[Rows], by: Sequence[str]) -> Iterator[Rows]:
    """Yield the same rows, cut so that no two parts share a value of the fields `by`."""
    held: Rows | None = None
    for part in parts:
        rows = part if held is None else np.concatenate([held, part])
        if not len(rows):
            continue
        last = int(np.flatnonzero(begins(rows, by))[-1])
        if last:
            yield rows[:last]
        held = rows[last:]
    if held is not None and len(held):
        yield held


def joined(parts: Iterable[Rows], mapping: Mapping, path: Path, mistakes: Mistakes) -> Iterator[Rows]:
    """Join all values of a device at one place in one row: long format becomes wide. Raises ReplayError unless counting."""
    by = order_of(mapping)[:3]
    for rows in whole_groups(parts, by):
        new = begins(rows, by) | (rows["what"] == OUTCOME)
        new[1:] |= rows["what"][:-1] == OUTCOME
        starts = np.flatnonzero(new)
        wide = rows[starts].copy()
        wide["values"] = np.fmax.reduceat(rows["values"], starts, axis=0)
        least = np.fmin.reduceat(rows["values"], starts, axis=0)
        torn = np.flatnonzero((wide["values"] > least).any(axis=1))
        if len(torn):
            _contradicted(wide[torn[0]], least[torn[0]], len(torn), mapping, path, mistakes)
            wide = np.delete(wide, torn)
        yield wide


def _contradicted(row: Rows, least: Rows, count: int, mapping: Mapping, path: Path, mistakes: Mistakes) -> None:
    """Note a tag that has two values at one time."""
    c = int(np.argmax(row["values"] > least))
    found = f"{least[c]:g} and {row['values'][c]:g}"
    value = mapping.long.value if mapping.long else ""
    allowed = "one value of a tag for each device and time"
    mistakes.add(Refused(path, value, int(row["row"]) + 1, found, allowed), count)


class Runs:
    """Counts rows and sets the ends of runs. Parts must come in order, with each device's rows together."""

    def __init__(self, outcome: OutcomeSource, count_seq: bool, count_time: bool) -> None:
        """`count_seq`: number the events of each run from 1. `count_time`: the time is the row's number in its device."""
        self._outcome, self._count_seq, self._count_time = outcome, count_seq, count_time
        self._last_ending = (
            ENDINGS.index(outcome.last_row) if outcome.last_row else OBSERVED if outcome.observed else NOTHING
        )
        self._run, self._device = (-1, -1), -1
        self._in_run = self._in_device = 0
        self._ended = False
        self.rows = self.events = self.outcomes = self.last_time = 0

    def walk(self, parts: Iterable[Rows]) -> Iterator[Rows]:
        """Yield the rows with `seq`, `time` and `ending` as they are sent."""
        held: Rows | None = None  # the newest row, because it is unknown whether its run continues
        for part in parts:
            if not len(part):
                continue
            rows = part.copy() if held is None else np.concatenate([held, part])
            yield self._part(rows[:-1], rows[-1:])
            held = rows[-1:]
        if held is not None:
            yield self._part(held, held[:0])

    def _part(self, rows: Rows, following: Rows) -> Rows:
        """Process rows (n,); `following` (0 or 1) rows come next."""
        if not len(rows):
            return rows
        event = rows["what"] == EVENT
        in_run = self._numbered(rows, ("device", "run"), event, self._run, self._in_run)
        in_device = self._numbered(rows, ("device",), event, (self._device,), self._in_device)
        if self._count_seq:
            rows["seq"] = in_run
        if self._count_time:
            rows["time"] = np.maximum(in_device - 1, 0)
        self._end(rows, following)
        self._run, self._device = (int(rows["device"][-1]), int(rows["run"][-1])), int(rows["device"][-1])
        self._in_run, self._in_device = int(in_run[-1]), int(in_device[-1])
        self.rows += len(rows)
        self.events += int(event.sum())
        self.outcomes += int((rows["ending"] != NOTHING).sum())
        self.last_time = max(self.last_time, int(rows["time"].max()))
        return rows

    @staticmethod
    def _numbered(rows: Rows, by: Sequence[str], event: Mask, before: tuple[int, ...], reached: int) -> Int64:
        """Return the number of events so far (n,) in each row's group, when the group `before` has `reached` events already."""
        new = begins(rows, by)
        new[0] = tuple(int(rows[name][0]) for name in by) != before
        total = np.cumsum(event) + (0 if new[0] else reached)
        starts = np.maximum.accumulate(np.where(new, np.arange(len(rows)), 0))
        base = np.where(new, total - event, 0)
        numbered: Int64 = total - base[starts]
        return numbered

    def _end(self, rows: Rows, following: Rows) -> None:
        """Set the ends of runs without a row about it, at their last event."""
        with_next = np.concatenate([rows, following])
        new = begins(with_next, ("device", "run"))
        new[0] = (int(rows["device"][0]), int(rows["run"][0])) != self._run
        number = np.cumsum(new[: len(rows)])
        ended = np.zeros(int(number[-1]) + 1, np.bool_)
        ended[0] = self._ended  # of the run that began in an earlier part
        np.logical_or.at(ended, number, rows["ending"] != NOTHING)
        last = np.ones(len(rows), np.bool_)
        last[: len(new) - 1] = new[1:]
        if self._last_ending != NOTHING:
            rows["ending"][last & ~ended[number]] = self._last_ending
        self._ended = bool(ended[-1])
