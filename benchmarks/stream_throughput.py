"""Events/s of the full scorer, of a bare copy, and of a hand-written stateless loop on ready features; the last line is JSON.

`scorer` is `aimaas score` as a user starts it: admission, device state, features, the champion, transactions. `raw` copies the
same events without decoding them. `hand` gets the features on its topic and runs the same ONNX file (see
stream_bench/programs/hand.py). Each is a separate process and scores all events from the first offset on, in turns, `--rounds`
times. Its outputs are counted, and compared with answers of the same model computed separately. The rate counts outputs that a
read-committed reader sees, for all three alike (see stream_bench/measure.py). At the end one more run of the scorer shows where
its time goes.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager

from aimaas.topics import topic_names
from stream_bench.champion import Champion, announce, train_champion
from stream_bench.entries import Entry, hand, raw, scorer
from stream_bench.events import Load, make_load, send
from stream_bench.figures import json_line, say, summary, table
from stream_bench.measure import Watch
from stream_bench.stage import ROOT, Stage, open_stage

_FEATURES = "bench.features"
_STEPS = ("fetch", "decode", "judge", "features", "rest", "wait", "inference", "encode", "produce", "commit")


def main() -> None:
    """Run the rounds, print the figures."""
    given = _arguments()
    with open_stage(given.partitions) as stage:
        fleet = stage.fleet()
        with stage.topics_of(fleet), stage.topics(_FEATURES):
            champion = train_champion(stage, given.candidate, given.training_devices)
            announce(stage, fleet, champion)
            load = make_load(fleet, champion, given.devices, given.events)
            events = topic_names(fleet).events
            send(stage.settings, events, load.events)
            send(stage.settings, _FEATURES, load.features)
            say(f"{len(load):,} events of {given.devices} devices; champion: {given.candidate}")
            rounds = _rounds(stage, champion, load, events, given.rounds)
            profile = _profile(stage, load, events)
    table(rounds)
    say("\nmicroseconds per event: " + ", ".join(f"{step} {us}" for step, us in profile.items()))
    figures = {**summary(rounds), "profile_us": profile, "events": len(load), "rounds": given.rounds}
    json_line("stream_throughput", {**figures, "candidate": given.candidate, "partitions": given.partitions})


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--events", type=int, default=600_000)
    parser.add_argument("--devices", type=int, default=1_000)
    parser.add_argument(
        "--candidate", default="boosting", help="of the fleet file, as plain export; `shipped`: the best one compressed"
    )
    parser.add_argument("--quick", action="store_true", help="one small round, to see that it runs")
    given = parser.parse_args()
    given.partitions, given.training_devices = 4, 100
    if given.quick:
        given.rounds, given.events, given.devices, given.training_devices = 1, 10_000, 100, 20
    return given


def _rounds(stage: Stage, champion: Champion, load: Load, events: str, count: int) -> dict[str, list[float]]:
    """Return rates and ratios by round; every contender runs once in a round, each time another one first."""
    found: dict[str, list[float]] = defaultdict(list)
    for n in range(count):
        turns = _turns(stage, champion, f"r{n}", events)
        rates = {name: _score(stage, turns[name], load) for name in _rotated(list(turns), n)}
        for name, rate in rates.items():
            found[f"{name}_ev_s"].append(rate)
        found["scorer_over_hand"].append(rates["scorer"] / rates["hand"])
        found["scorer_over_raw"].append(rates["scorer"] / rates["raw"])
    order = ("scorer_ev_s", "raw_ev_s", "hand_ev_s", "scorer_over_hand", "scorer_over_raw")
    return {key: found[key] for key in order}


def _turns(stage: Stage, champion: Champion, tag: str, events: str) -> dict[str, AbstractContextManager[Entry]]:
    return {
        "raw": raw(stage, tag, events),
        "hand": hand(stage, tag, _FEATURES, champion),
        "scorer": scorer(stage, tag, events),
    }


def _rotated(names: list[str], by: int) -> Iterator[str]:
    yield from names[by % len(names) :] + names[: by % len(names)]


def _score(stage: Stage, turn: AbstractContextManager[Entry], load: Load) -> float:
    """Run one contender over all events; return its rate. Ends the benchmark if an output is missing, doubled or wrong."""
    with turn as entry:
        watch = Watch(stage, entry, load)
        with entry.start() as contender:
            measured = watch.see_all([contender])
        say(f"  {entry.name:7} {measured.ev_s:10,.0f} events/s  {measured.account}")
        if not measured.account.is_exact:
            raise SystemExit(f"{entry.name}: outputs are not those expected: {measured.account}")
    return measured.ev_s


def _profile(stage: Stage, load: Load, events: str) -> dict[str, float]:
    """Return microseconds per event by step of the scorer's loop."""
    into = stage.folder / "profile.json"
    say("  once more, with a clock around every step:")
    launcher = (str(ROOT / "benchmarks" / "stream_bench" / "programs" / "profiled_score.py"), str(into))
    _score(stage, scorer(stage, "profile", events, launcher), load)
    spent = json.loads(into.read_text())
    spent["rest"] = spent.pop("work")
    return {step: round(spent[step] / spent["events"] * 1e6, 2) for step in _STEPS}


if __name__ == "__main__":
    main()
