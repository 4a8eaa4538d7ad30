"""The three parts of the scaling benchmark: rates of balanced processes, exactness in rebalances, memory by devices."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import psutil

from stream.devices.producer import KeyValue
from stream_bench.account import Account
from stream_bench.contenders import Contender, ContenderError
from stream_bench.entries import Entry, scorer
from stream_bench.events import Load, one_event_each, send
from stream_bench.figures import say
from stream_bench.group import shares, wait_for_shares
from stream_bench.measure import Watch
from stream_bench.pacing import Pace, pacing
from stream_bench.sight import Reader
from stream_bench.stage import Stage
from stream_bench.watch import EndWatch

_LIMIT_S = 900.0
_HOLD_S = 2.0  # how long an assignment is kept before the next rebalance


def balanced_rate(
    stage: Stage, entry: Entry, load: Load, records: Sequence[KeyValue], processes: int, pinned: bool
) -> float:
    """Return events/s of this many processes that have shared the partitions evenly before the first event.

    They start on an empty topic and are frozen while it is filled, so that filling takes no time from them, and all begin
    alike. If they are `pinned`, each has a core that it shares only with the broker.
    """
    wanted = [stage.partitions // processes] * processes
    with ExitStack() as stack:
        contenders = [stack.enter_context(entry.start(str(i))) for i in range(processes)]
        wait_for_shares(stage.settings, entry.group, wanted, contenders)
        for core, contender in enumerate(contenders if pinned else []):
            contender.pin(core)
        watch = Watch(stage, entry, load)
        _fill_frozen(stage, entry, records, contenders, watch)
        measured = watch.see_all(contenders)
        after = shares(stage.settings, entry.group)
    how = f"{processes} x {wanted[0]} partitions{', a core each' if pinned else ''}"
    say(f"  {entry.name:7} {how:29} {measured.ev_s:10,.0f} events/s  {measured.account}")
    if after != wanted:
        raise SystemExit(f"{entry.name}: the group did not stay balanced ({after}): filling the topic took too long")
    if not measured.account.is_exact:
        raise SystemExit(f"{entry.name}: outputs are not those expected: {measured.account}")
    return measured.ev_s


def _fill_frozen(
    stage: Stage, entry: Entry, records: Sequence[KeyValue], contenders: Sequence[Contender], watch: Watch
) -> None:
    for contender in contenders:
        contender.freeze()
    try:
        send(stage.settings, entry.source, records)
    finally:
        watch.begin()
        for contender in contenders:
            contender.thaw()


def through_rebalances(stage: Stage, load: Load, rate: float) -> tuple[Account, int]:
    """Send events at `rate` while a second scorer joins and leaves repeatedly. Return the account, and the number of rebalances."""
    with scorer(stage, "moves") as entry, entry.start("0") as first, Reader(stage, entry.target) as reader:
        wait_for_shares(stage.settings, entry.group, [stage.partitions], [first])
        with pacing(stage, entry.folder, entry.source, load.events, rate) as pace:
            moves = 0
            while not pace.is_done:
                moves += _join_and_leave(stage, entry, first, pace)
        _read_all(reader, entry, load, first)
        account = entry.account(load, [record for _, record in reader.seen])
    say(f"  {moves} rebalances under {rate:,.0f} events/s: {account}")
    return account, moves


def _join_and_leave(stage: Stage, entry: Entry, first: Contender, pace: Pace) -> int:
    half = stage.partitions // 2
    with entry.start("1") as second:
        wait_for_shares(stage.settings, entry.group, [half, half], [first, second])
        _hold(pace)
    wait_for_shares(stage.settings, entry.group, [stage.partitions], [first])
    _hold(pace)
    return 2


def _hold(pace: Pace) -> None:
    """Let events flow for a moment without a change."""
    limit = time.monotonic() + _HOLD_S
    while time.monotonic() < limit and not pace.is_done:
        time.sleep(0.1)


def _read_all(reader: Reader, entry: Entry, load: Load, first: Contender) -> None:
    """Read until every event has an output, or no output has come for long: missing outputs are lost."""
    try:
        reader.read_until(len(load), 60.0, first.check)
    except ContenderError as e:
        say(f"  {entry.name}: {e}")


class Memory(NamedTuple):
    """Resident MiB of a scorer with this many devices: `scored` by itself, and the peak of restoring them."""

    scored: float
    restored: float


def memory_of_state(stage: Stage, devices: int) -> Memory:
    """Measure the memory of a scorer with this many devices, each with one scored event, and of its successor."""
    with scorer(stage, f"memory{devices}") as entry:
        with entry.start("0") as contender:
            _score_one_each(stage, entry, contender, devices)
            scored = float(psutil.Process(contender.pid).memory_info().rss / 2**20)
        with entry.start("1") as successor:
            restored = _peak_of_restore(successor)
    say(f"  {devices:9,} devices: {scored:8,.0f} MiB, restored {restored:8,.0f} MiB at the peak")
    return Memory(scored, restored)


def _score_one_each(stage: Stage, entry: Entry, contender: Contender, devices: int) -> None:
    watch, limit = EndWatch(stage.settings, entry.target, stage.partitions), time.monotonic() + _LIMIT_S
    for chunk in one_event_each(stage.fleet(), devices):
        send(stage.settings, entry.source, chunk)
    while watch.look().total < devices:
        contender.check()
        if time.monotonic() > limit:
            raise ContenderError(f"{devices} devices not scored within {_LIMIT_S:g} s:\n{contender.tail()}")
        time.sleep(0.2)


def _peak_of_restore(contender: Contender) -> float:
    """Return the peak MiB once its log says that state is restored."""
    limit = time.monotonic() + _LIMIT_S
    while "state restored" not in contender.log.read_text():
        contender.check()
        if time.monotonic() > limit:
            raise ContenderError(f"state not restored within {_LIMIT_S:g} s:\n{contender.tail()}")
        time.sleep(0.2)
    status = Path(f"/proc/{contender.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 2**10
