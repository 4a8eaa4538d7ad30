"""One and two scorers over 8 partitions, rebalances under load, and memory by devices; the last line is JSON.

`two_over_one` is the rate of two processes over the rate of one in the same round; `hand_two_over_one` is the same for the
hand-written loop. Rates are measured after the group has shared the partitions evenly, never through the rebalance. A scorer
has two working threads, so one scorer already uses more than one core if there are two. `pinned_two_over_one` and
`pinned_hand_two_over_one` are the gains of processes that are pinned to a core each, as in containers of one core. `lost` and
`duplicated` count predictions while a second scorer joins and leaves under load. `mib_by_devices` is the resident memory of a
scorer with this many devices; `mib_restored_by_devices` is the peak of its successor while it restores them.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from itertools import product
from typing import NamedTuple

from stream_bench.champion import Champion, announce, train_champion
from stream_bench.entries import hand, scorer
from stream_bench.events import Load, make_load
from stream_bench.figures import json_line, say, summary, table
from stream_bench.scaling import balanced_rate, memory_of_state, through_rebalances
from stream_bench.stage import Stage, open_stage

_PARTITIONS = 8


class _Turn(NamedTuple):
    name: str
    processes: int
    pinned: bool


def main() -> None:
    """Run the three parts, print the figures."""
    given = _arguments()
    with open_stage(_PARTITIONS) as stage:
        fleet = stage.fleet()
        with stage.topics_of(fleet):
            champion = train_champion(stage, given.candidate, given.training_devices)
            announce(stage, fleet, champion)
            load = make_load(fleet, champion, 1_000, given.events)
            say(f"{len(load):,} events; champion: {given.candidate}")
            rounds = _rounds(stage, champion, load, given.rounds)
            moved, moves = through_rebalances(stage, load, given.rate)
            memory = {str(devices): memory_of_state(stage, devices) for devices in given.devices}
    table(rounds)
    counts = {"lost": moved.lost, "duplicated": moved.duplicated, "rebalances": moves}
    mib = {
        "mib_by_devices": {devices: round(m.scored) for devices, m in memory.items()},
        "mib_restored_by_devices": {devices: round(m.restored) for devices, m in memory.items()},
    }
    figures = {**summary(rounds), **counts, **mib, "events": len(load), "rounds": given.rounds}
    json_line("stream_scaling", {**figures, "candidate": given.candidate, "partitions": _PARTITIONS})


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--events", type=int, default=400_000)
    parser.add_argument("--rate", type=float, default=5_000, help="events/s while scorers join and leave")
    parser.add_argument("--candidate", default="boosting", help="of the fleet file; `shipped`: the best, compressed")
    parser.add_argument("--quick", action="store_true", help="one small round, to see that it runs")
    given = parser.parse_args()
    given.devices, given.training_devices = (1_000, 100_000, 1_000_000), 100
    if given.quick:
        given.rounds, given.events, given.rate, given.devices, given.training_devices = (
            1,
            10_000,
            500,
            (1_000, 2_000),
            20,
        )
    return given


def _rounds(stage: Stage, champion: Champion, load: Load, count: int) -> dict[str, list[float]]:
    """Return rates and gains by round; the contenders take turns to begin."""
    found: dict[str, list[float]] = defaultdict(list)
    turns = [_Turn(*turn) for turn in product(("scorer", "hand"), (1, 2), (False, True))]
    for n in range(count):
        rates = {turn: _rate(stage, champion, load, n, turn) for turn in (turns if n % 2 == 0 else turns[::-1])}
        for pinned, name in product((False, True), ("scorer", "hand")):
            prefix = ("pinned_" if pinned else "") + ("hand_" if name == "hand" else "")
            one, two = (rates[_Turn(name, processes, pinned)] for processes in (1, 2))
            for key, figure in (("two_over_one", two / one), ("one_ev_s", one), ("two_ev_s", two)):
                found[prefix + key].append(figure)
    return found


def _rate(stage: Stage, champion: Champion, load: Load, n: int, turn: _Turn) -> float:
    tag = f"r{n}.{turn.name}{turn.processes}{'p' if turn.pinned else ''}"
    if turn.name == "scorer":
        with scorer(stage, tag) as entry:
            return balanced_rate(stage, entry, load, load.events, turn.processes, turn.pinned)
    features = f"bench.{tag}.features"
    with stage.topics(features), hand(stage, tag, features, champion) as entry:
        return balanced_rate(stage, entry, load, load.features, turn.processes, turn.pinned)


if __name__ == "__main__":
    main()
