"""Rates, as a reader of the outputs sees them.

Every contender is measured in the same way: by the outputs that a read-committed reader can see. No contender is changed, so
the scorer runs as a user starts it. The end is the first sight of the last output, after its commit, because uncommitted
outputs are invisible. (Timestamps of the outputs would not do: they are the times of `produce`, before the commit.) Reading the
ends every 15 ms takes 3 % of a core.

If the time when the first event reached a process is unknown, the clock starts with the first sight of an output, and the
outputs seen then do not count: start, model, group and the first transaction come before it. If the processes were frozen while
their input was filled, the clock starts with the thaw, and all outputs count. Otherwise, with several processes, half of a
process's first transaction would be before the clock.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from aimaas.kafka import Record, read_all
from stream_bench.account import Account
from stream_bench.contenders import Contender, ContenderError
from stream_bench.entries import Entry
from stream_bench.events import Load
from stream_bench.stage import Stage
from stream_bench.watch import EndWatch, Sight

_LOOK_S = 0.015
_QUIET_S = 1.0  # without new outputs for this long, the outputs are counted
_LIMIT_S = 300.0


@dataclass(frozen=True)
class Measured:
    """Events/s of one contender in one round, and its outputs."""

    ev_s: float
    account: Account


class Watch:
    """Watches the outputs of one contender; created before the contender has input."""

    def __init__(self, stage: Stage, entry: Entry, load: Load) -> None:
        self._settings, self._entry, self._load = stage.settings, entry, load
        self._ends = EndWatch(stage.settings, entry.target, stage.partitions)
        self._sights = [self._ends.look()]  # the first sight is the last one without outputs
        self._began: float | None = None

    def begin(self) -> None:
        """Start the clock now instead of at the first sight of an output."""
        self._began = time.monotonic()

    def see_all(self, contenders: Sequence[Contender]) -> Measured:
        """Watch until there is an output for each event. Raises ContenderError after 300 s, or if a contender ends."""
        limit, target = time.monotonic() + _LIMIT_S, self._entry.target
        while time.monotonic() < limit:
            self._watch_until_quiet(contenders, limit)
            if self._sights[-1].total < len(self._load):
                continue
            records = read_all(self._settings, target)
            if len(records) >= len(self._load):
                return Measured(self._rate(records), self._entry.account(self._load, records))
        raise ContenderError(f"{self._entry.name}: not done after {_LIMIT_S:g} s; its log ends\n{contenders[0].tail()}")

    def _watch_until_quiet(self, contenders: Sequence[Contender], limit: float) -> None:
        """Note every change of the ends until there is none for a while."""
        sights = self._sights
        while (now := time.monotonic()) < limit and (not sights[-1].total or now - sights[-1].at < _QUIET_S):
            for contender in contenders:
                contender.check()
            sight = self._ends.look()
            if not sight.total:
                sights[:] = [sight]
            elif sight.total != sights[-1].total:
                sights.append(sight)
            time.sleep(_LOOK_S)

    def _rate(self, records: Sequence[Record]) -> float:
        """Return outputs/s from the clock's start, or from the reading before the first sight if all outputs came at once."""
        sights, last = self._sights, self._sights[-1]
        if self._began is not None:
            return len(records) / (last.at - self._began)
        first = sights[1] if len(sights) > 2 else sights[0]
        return (_seen(last, records) - _seen(first, records)) / (last.at - first.at)


def _seen(sight: Sight, records: Sequence[Record]) -> int:
    """Return the number of visible outputs at a sight; offsets alone would count commit markers too."""
    return sum(record.offset < sight.ends[record.partition] for record in records)
