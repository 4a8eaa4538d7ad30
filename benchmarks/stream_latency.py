"""Milliseconds from an event's `produce` to the sight of its committed prediction, by commit interval; the last line is JSON.

A separate process sends 2,000 events/s, evenly, and notes when it passed each one to its client. A read-committed consumer
notes when it has each prediction. Both use the machine's monotonic clock. The scorer is `aimaas score --commit-interval-ms …`
as a user starts it. Commit intervals take turns, `--rounds` times, after a round that does not count: the broker's JVM takes
half a minute to compile its code, and until then needs three times the processor time. The first three seconds of each turn do
not count either: processes start in them.
"""

from __future__ import annotations

import argparse
from collections import defaultdict

import msgspec
import numpy as np
import numpy.typing as npt

from stream_bench.account import Prediction, account_predictions
from stream_bench.champion import announce, train_champion
from stream_bench.entries import scorer
from stream_bench.events import Load, make_load
from stream_bench.figures import json_line, say, summary, table
from stream_bench.pacing import pacing
from stream_bench.sight import Reader
from stream_bench.stage import Stage, open_stage

INTERVALS_MS = (10, 100)
_LIMIT_S = 120.0


def main() -> None:
    """Run the rounds, print the figures."""
    given = _arguments()
    rounds: dict[str, list[float]] = defaultdict(list)
    with open_stage(4) as stage:
        fleet = stage.fleet()
        with stage.topics_of(fleet):
            champion = train_champion(stage, given.candidate, given.training_devices)
            announce(stage, fleet, champion)
            load = make_load(fleet, champion, given.devices, given.warm_up + int(given.rate * given.seconds))
            for n in range(given.rounds + 1):
                for ms in INTERVALS_MS if n % 2 == 0 else INTERVALS_MS[::-1]:
                    found = _latencies(stage, f"r{n}.{ms}", ms, load, given.warm_up, given.rate)
                    if n == 0:
                        continue
                    rounds[f"p50_ms {ms}"].append(float(np.percentile(found, 50)))
                    rounds[f"p99_ms {ms}"].append(float(np.percentile(found, 99)))
    table(rounds)
    figures = {**_by_interval(rounds), "rate": given.rate, "events": len(load) - given.warm_up, "rounds": given.rounds}
    json_line("stream_latency", {**figures, "candidate": given.candidate})


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=float, default=2_000, help="events/s")
    parser.add_argument("--seconds", type=float, default=20, help="of measurement for each interval in each round")
    parser.add_argument("--candidate", default="boosting", help="of the fleet file; `shipped`: the best, compressed")
    parser.add_argument("--quick", action="store_true", help="one short round, to see that it runs")
    given = parser.parse_args()
    given.devices, given.training_devices, given.warm_up = 1_000, 100, int(3 * given.rate)
    if given.quick:
        given.rounds, given.seconds, given.devices, given.training_devices, given.warm_up = 1, 2, 100, 20, 200
    return given


def _latencies(
    stage: Stage, tag: str, interval_ms: int, load: Load, warm_up: int, rate: float
) -> npt.NDArray[np.float64]:
    """Return the milliseconds (n,) of all events after the first `warm_up`."""
    with scorer(stage, tag, options=("--commit-interval-ms", str(interval_ms))) as entry:
        with (
            entry.start() as contender,
            Reader(stage, entry.target) as reader,
            pacing(stage, entry.folder, entry.source, load.events, rate) as pace,
        ):
            reader.read_until(len(load), _LIMIT_S, contender.check)
            pace.wait()
        found = (_seen(load, reader) - pace.times())[warm_up:] * 1e3
        say(
            f"  commit interval {interval_ms:3} ms: p50 {np.percentile(found, 50):.1f} ms, p99 {np.percentile(found, 99):.1f} ms"
        )
    return found


def _seen(load: Load, reader: Reader) -> npt.NDArray[np.float64]:
    """Return when each event's prediction was seen (n,). Ends the benchmark if one is missing, doubled or wrong."""
    account = account_predictions(load, [record for _, record in reader.seen])
    if not account.is_exact:
        raise SystemExit(f"predictions are not those expected: {account}")
    decode, seen = msgspec.json.Decoder(Prediction).decode, np.zeros(len(load))
    for at, record in reader.seen:
        p = decode(record.value or b"")
        seen[load.places[p.device_id, p.run, p.seq]] = at
    return seen


def _by_interval(rounds: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Return `p50_ms`, `p99_ms` and their minima and maxima over the rounds, each a mapping from the interval in ms."""
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for ms in INTERVALS_MS:
        of = {key: rounds[f"{key} {ms}"] for key in ("p50_ms", "p99_ms")}
        for key, value in summary(of, 2).items():
            found[key][str(ms)] = value
    return found


if __name__ == "__main__":
    main()
