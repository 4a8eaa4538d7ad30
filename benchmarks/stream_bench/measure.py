"""Rates, as a reader of the outputs sees them.

Every contender is measured by the same thing: what a read-committed reader can see, from the first sight of an output to the first
sight of the last one, and the outputs that came between. Starting, loading the model, joining the group and the first transaction
are before it; commits are inside of it, the last one too, since what is not committed is not there. No contender is touched, so the
scorer runs as a user starts it. (Timestamps of the outputs would not do: they are those of `produce`, before the commit.) The look
at the ends every 15 ms takes 3 % of a core.
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
_QUIET_S = 1.0  # without news the outputs are counted
_LIMIT_S = 300.0


@dataclass(frozen=True)
class Measured:
    """Events/s of one contender in one round, and what it put out."""

    ev_s: float
    account: Account


def see_all(stage: Stage, entry: Entry, load: Load, contenders: Sequence[Contender]) -> Measured:
    """Watch the outputs come until there is one for each event; the processes have been started just now, or thawed."""
    watch = EndWatch(stage.settings, entry.target, stage.partitions)
    sights, limit = [watch.look()], time.monotonic() + _LIMIT_S
    while True:
        _watch_until_quiet(watch, sights, contenders, limit)
        if sights[-1].total >= len(load):
            records = read_all(stage.settings, entry.target)
            if len(records) >= len(load):
                return Measured(_rate(sights, records), entry.account(load, records))
        if time.monotonic() > limit:
            raise ContenderError(f"{entry.name}: not done after {_LIMIT_S:g} s; its log ends\n{contenders[0].tail()}")


def _watch_until_quiet(watch: EndWatch, sights: list[Sight], contenders: Sequence[Contender], limit: float) -> None:
    """Note every change of the ends until there is none for a while; `sights[0]` is the last one without outputs."""
    while (now := time.monotonic()) < limit and (not sights[-1].total or now - sights[-1].at < _QUIET_S):
        for contender in contenders:
            contender.check()
        sight = watch.look()
        if not sight.total:
            sights[:] = [sight]
        elif sight.total != sights[-1].total:
            sights.append(sight)
        time.sleep(_LOOK_S)


def _rate(sights: Sequence[Sight], records: Sequence[Record]) -> float:
    """Outputs/s from the first sight of any, or where all came at once from the look before."""
    first, last = sights[1] if len(sights) > 2 else sights[0], sights[-1]
    return (_seen(last, records) - _seen(first, records)) / (last.at - first.at)


def _seen(sight: Sight, records: Sequence[Record]) -> int:
    """Outputs that could be read at a sight; offsets alone would count commit markers too."""
    return sum(record.offset < sight.ends[record.partition] for record in records)
