"""The lake as it grows: from Kafka to gold and features, by number of events; the last line is JSON.

For each size a new lake is filled. `events_s` is by size and stage, `peak_mib` is Spark's peak memory by size.
`one_more_hour_ratio`: the time for one more hour of data (`--hour` rows, all devices report), from Kafka to gold, on top of the
largest lake, over the time for the same hour on an empty lake. They take turns; it is the median of `_ROUNDS` pairs (`hour_s`).
The Spark session runs already.
`over_spark_sql`, `over_pandas`: how many times faster the kernel in Spark makes the features of the smallest lake than SQL
windows and pandas do.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from lake_bench.growing import steps_of
from lake_bench.memory import Peak
from lake_bench.race import race

from aimaas.fleet import FleetSpec
from aimaas.settings import Settings
from expectations.resolve import Resolution, publish_unjudged
from spark_jobs.admit import admit
from spark_jobs.features import features
from spark_jobs.gold import gold
from spark_jobs.job import Job
from spark_jobs.land import land
from spark_jobs.session import spark_session
from stream.devices.producer import produce
from stream_bench.figures import json_line, say
from stream_bench.stage import Stage, open_stage

_PARTITIONS = 8
_ROUNDS = 3
_Pair = tuple[float, float]  # seconds on the empty lake, and on top of the largest
_TO_GOLD: dict[str, Callable[[Job], Any]] = {"land": land, "admit": admit, "gold": lambda job: _published(job, gold)}


def _published(job: Job, gold: Callable[[Job], Any]) -> Any:
    """Return gold with gates that judge nothing, because only the lake is measured."""
    said = Resolution("benchmark", "simulated", datetime.now(UTC))
    publish_unjudged(job.settings, job.fleet, "silver", said)
    report = gold(job)
    publish_unjudged(job.settings, job.fleet, "gold", said)
    return report


@dataclass(frozen=True)
class Lake:
    """A new lake with its own topics."""

    name: str
    settings: Settings
    fleet: FleetSpec
    devices: int
    session: Any

    def send(self, first: int, events: int) -> None:
        """Send the events of all devices from step `first` on."""
        for histories in steps_of(self.fleet, self.devices, first, events // self.devices):
            produce(self.settings, self.fleet, histories)

    def job(self, stage: str, **arguments: Any) -> Job:
        """Return a job on this lake."""
        return Job(stage, self.settings, self.fleet, argparse.Namespace(**arguments), start=lambda *_: self.session)

    def run(self, stage: str, work: Callable[[Job], Any], **arguments: Any) -> float:
        """Return the seconds of a job."""
        began = time.monotonic()
        report = work(self.job(stage, **arguments))
        seconds = time.monotonic() - began
        say(f"{self.name:10} {stage:10} {seconds:8.1f} s  {report}")
        return seconds

    def to_gold(self) -> dict[str, float]:
        """Return seconds by stage."""
        return {stage: self.run(stage, work) for stage, work in _TO_GOLD.items()}


def main() -> None:
    """Fill the lakes, print the figures."""
    given = _arguments()
    rates: dict[str, dict[str, int]] = {}
    peaks: dict[str, int] = {}
    seconds: dict[str, float] = {}
    with open_stage(_PARTITIONS) as stage:
        session = spark_session(stage.settings, "lake_scale")
        warm = _lake(stage, "warm", given.devices, session)
        for first in (0, 1):  # the first job of its kind compiles
            _hour(stage, warm, first, given.devices)
        for events in given.events:
            lake = _lake(stage, str(events), given.devices, session)
            with stage.topics_of(lake.fleet):
                lake.send(0, events)
            with Peak(session.sparkContext._gateway.proc.pid) as peak:
                rates[lake.name] = _rates(stage, lake, events)
            peaks[lake.name] = round(peak.mib)
            if not seconds:
                seconds = race(lake.job("race"))
                say(f"features, seconds: {seconds}")
        hours = [_hours(stage, lake, events, given.hour, n) for n in range(_ROUNDS)]
        session.stop()
    figures = {"events_s": rates, "peak_mib": peaks, "one_more_hour_ratio": _ratio(hours)}
    times = {f"over_{other}": round(seconds[other] / seconds["kernel"], 2) for other in ("spark_sql", "pandas")}
    given_as = {"hour_events": given.hour, "devices": given.devices, "partitions": _PARTITIONS}
    json_line("lake_scale", {**figures, **times, "hour_s": _rounded(hours), **given_as})


def _ratio(pairs: Sequence[_Pair]) -> float:
    return round(statistics.median(on_top / on_empty for on_empty, on_top in pairs), 3)


def _rounded(pairs: Sequence[_Pair]) -> list[list[float]]:
    return [[round(s, 2) for s in pair] for pair in pairs]


def _lake(stage: Stage, name: str, devices: int, session: Any) -> Lake:
    fleet = stage.fleet(events=f"events-{name}", outcomes=f"outcomes-{name}")
    return Lake(name, replace(stage.settings, lake=str(stage.folder / "lakes" / name)), fleet, devices, session)


def _rates(stage: Stage, lake: Lake, events: int) -> dict[str, int]:
    """Bring the sent events to gold, and freeze a training set; return events/s by stage."""
    seconds = lake.to_gold()
    seconds["features"] = lake.run("features", features, out=str(stage.folder / "sets" / lake.name))
    return {name: round(events / s) for name, s in seconds.items()}


def _hour(stage: Stage, lake: Lake, first: int, events: int) -> float:
    """Return the seconds from Kafka to gold for events from step `first` on."""
    with stage.topics_of(lake.fleet):
        lake.send(first, events)
    return sum(lake.to_gold().values())


def _hours(stage: Stage, lake: Lake, events: int, hour: int, n: int) -> _Pair:
    """Return the times of an hour on an empty lake, and as the `n`-th hour on a lake of this size."""
    empty = _lake(stage, f"empty-{n}", lake.devices, lake.session)
    return _hour(stage, empty, 0, hour), _hour(stage, lake, (events + n * hour) // lake.devices, hour)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, nargs="+", default=[1_000_000, 3_000_000, 10_000_000])
    parser.add_argument("--hour", type=int, default=100_000, help="rows of the hour that comes on top")
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--quick", action="store_true", help="small lakes, to see that it runs")
    given = parser.parse_args()
    if given.quick:
        given.events, given.hour, given.devices = [20_000, 40_000], 2_000, 100
    return given


if __name__ == "__main__":
    main()
