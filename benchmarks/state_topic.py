"""How to keep device state: snapshots paced by the input plus re-reading it, or a record per event; one JSON line last.

`aimaas score` scores the same events of the turbofan fleet in each of the ways of stream_bench/state_way.py, in turns, `--rounds`
times. When nine tenths of the predictions are in a reader's sight it is killed with SIGKILL, and the state it left is restored in
this process as the next owner would. By way: `ev_s`, predictions/s in a reader's sight; `state_bytes`, bytes written to the state
topic for each byte of the input scored; `restore_s` and `restore_mb`, what restoring took and read, `replayed_mb` of it from the
input. The state topic is not compacted yet then: so much is what a scorer leaves that is killed within `segment.ms` (10 minutes).
"""

from __future__ import annotations

import argparse
import signal
import time
from collections import defaultdict
from dataclasses import dataclass

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition

from aimaas.admission import Judge
from aimaas.features import kernel_of
from aimaas.fleet import FleetSpec, load_fleet
from aimaas.kafka import ANSWER_LIMIT_S, admin
from aimaas.plan import plan_of
from aimaas.topics import topic_names
from stream.state.topic import Restored, restore
from stream_bench.champion import Champion, announce, train_champion
from stream_bench.contenders import ContenderError
from stream_bench.entries import Entry, scorer
from stream_bench.events import Load, make_load, send
from stream_bench.figures import json_line, say, summary, table
from stream_bench.stage import ROOT, Stage, open_stage
from stream_bench.state_way import WAYS
from stream_bench.watch import EndWatch

_LOOK_S = 0.02
_LIMIT_S = 300.0
_SHARE = 0.9  # of the predictions, then it is killed


@dataclass(frozen=True)
class Way:
    """One way in one round: predictions/s, input bytes whose offsets were committed, and what restoring them took."""

    ev_s: float
    input_bytes: float
    restored: Restored

    def figures(self, name: str) -> dict[str, float]:
        """By name of the figure."""
        read = self.restored.state_bytes
        found = {
            "ev_s": self.ev_s, "state_bytes": read / self.input_bytes, "restore_s": self.restored.seconds,
            "restore_mb": (read + self.restored.event_bytes) / 1e6, "replayed_mb": self.restored.event_bytes / 1e6,
        }  # fmt: skip
        return {f"{name}_{figure}": value for figure, value in found.items()}


def main() -> None:
    """Run the rounds, print the figures."""
    given = _arguments()
    rounds: dict[str, list[float]] = defaultdict(list)
    with open_stage(4) as stage:
        fleet = stage.fleet()
        with stage.topics_of(fleet):
            champion = train_champion(stage, given.candidate, given.training_devices)
            announce(stage, fleet, champion)
            load = make_load(fleet, champion, given.devices, given.events)
            send(stage.settings, topic_names(fleet).events, load.events)
            for n in range(given.rounds):
                for way in [*WAYS[n % len(WAYS) :], *WAYS[: n % len(WAYS)]]:
                    found = _run(stage, champion, load, way, f"r{n}-{way}")
                    say(f"  {way:10} {found.figures(way)}")
                    for key, value in found.figures(way).items():
                        rounds[key].append(value)
    for other in WAYS[1:]:
        pairs = zip(rounds["snapshots_ev_s"], rounds[f"{other}_ev_s"], strict=True)
        rounds[f"snapshots_over_{other}"] = [mine / theirs for mine, theirs in pairs]
    table(rounds)
    figures = {**summary(rounds), "events": len(load), "devices": given.devices, "rounds": given.rounds}
    json_line("state_topic", {**figures, "candidate": given.candidate})


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--devices", type=int, default=2_000)
    parser.add_argument("--candidate", default="boosting", help="of the fleet file")
    parser.add_argument("--quick", action="store_true", help="one small round, to see that it runs")
    given = parser.parse_args()
    given.training_devices = 100
    if given.quick:
        given.rounds, given.events, given.devices, given.training_devices = 1, 20_000, 100, 20
    return given


def _run(stage: Stage, champion: Champion, load: Load, way: str, tag: str) -> Way:
    launcher = (str(ROOT / "benchmarks" / "stream_bench" / "state_way.py"), way)
    with scorer(stage, tag, topic_names(stage.fleet()).events, launcher) as entry:
        ev_s = _rate_until_killed(stage, entry, load)
        fleet = load_fleet(entry.folder / "turbofan.yaml")
        committed = _committed(stage, entry, fleet)
        kernel = kernel_of(plan_of(fleet), champion.fit)
        restored = restore(stage.settings, fleet, Judge(fleet), kernel, committed)
    event_bytes = sum(len(key) + len(value) for key, value in load.events) / len(load)
    return Way(ev_s, sum(committed.values()) * event_bytes, restored)


def _rate_until_killed(stage: Stage, entry: Entry, load: Load) -> float:
    """Predictions/s from the first in sight to nine tenths of them, at which the scorer is killed."""
    watch, limit = EndWatch(stage.settings, entry.target, stage.partitions), time.monotonic() + _LIMIT_S
    try:
        with entry.start() as contender:
            first = now = watch.look()
            while now.total < _SHARE * len(load):
                contender.check()
                if time.monotonic() > limit:
                    raise ContenderError(f"not done after {_LIMIT_S:g} s; its log ends\n{contender.tail()}")
                time.sleep(_LOOK_S)
                now = watch.look()
                first = first if first.total else now
            contender.process.kill()
            contender.process.wait()
    except ContenderError:
        if contender.process.returncode != -signal.SIGKILL:
            raise
    return (now.total - first.total) / (now.at - first.at)


def _committed(stage: Stage, entry: Entry, fleet: FleetSpec) -> dict[int, int]:
    """The group's offsets by partition, without waiting for the transaction that the killed scorer left open."""
    topic = topic_names(fleet).events
    client = admin(stage.settings)
    asked = ConsumerGroupTopicPartitions(entry.group, [TopicPartition(topic, p) for p in range(stage.partitions)])
    answers = client.list_consumer_group_offsets([asked], require_stable=False, request_timeout=ANSWER_LIMIT_S)
    found = answers[entry.group].result(ANSWER_LIMIT_S)
    return {tp.partition: tp.offset for tp in found.topic_partitions if tp.offset >= 0}


if __name__ == "__main__":
    main()
