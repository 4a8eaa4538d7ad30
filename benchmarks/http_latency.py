"""Requests/s and p99 latency of `POST /predict` by connections, with the cache cold and warm; the last line is JSON.

One request holds one instance: the last 30 events of a turbofan engine as raw readings (11 kB), answered by a champion of 200
boosted trees. Cold: every body is new. Warm: 1,000 bodies, all asked before. Connections and cache states take turns in a
round. The load generator is a separate process and reports its share of a core (`client_cpu`).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import median

from http_bench.stage import ROOT, bodies, service

CONNECTIONS = (1, 16, 64)
_KEYS = ("requests_s", "p50_ms", "p99_ms")
Found = dict[tuple[str, int], list[dict[str, float]]]


def main() -> None:
    """Run the rounds, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4, help="for each number of connections and cache state")
    parser.add_argument("--events", type=int, default=30, help="in an instance")
    parser.add_argument("--trees", type=int, default=200)
    given = parser.parse_args()
    found: Found = defaultdict(list)
    with service(given.trees) as (fleet, port), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bodies"
        path.write_bytes(b"\n".join(bodies(fleet, 1_000, given.events)))
        load(port, path, 16, 3)  # every body is in the cache now
        turns = [(state, n) for n in CONNECTIONS for state in ("cold", "warm")]
        for r in range(given.rounds):
            for state, n in turns if r % 2 == 0 else turns[::-1]:
                if state == "warm":
                    load(port, path, 16, 1)  # cold rounds push bodies out of the cache
                found[state, n].append(load(port, path, n, given.seconds, *(["--cold"] if state == "cold" else [])))
                say(r, state, n, found[state, n][-1])
    print(json.dumps({"benchmark": "http_latency", **figures(found), **vars(given)}))


def load(port: int, path: Path, connections: int, seconds: float, *options: str) -> dict[str, float]:
    """Run the load generator once."""
    command = [sys.executable, "-m", "http_bench.load", str(path), "--port", str(port), *options]
    command += ["--connections", str(connections), "--seconds", str(seconds)]
    ran = subprocess.run(command, check=True, capture_output=True, cwd=ROOT / "benchmarks")
    measured: dict[str, float] = json.loads(ran.stdout)
    return measured


def say(r: int, state: str, n: int, one: dict[str, float]) -> None:
    """Print the progress."""
    figures_ = ", ".join(f"{key} {value:.4g}" for key, value in one.items())
    print(f"round {r} {state} {n:3} connections: {figures_}", file=sys.stderr, flush=True)


def figures(found: Found) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """Return `requests_s` and so on -> cache state -> connections -> median, min, max of the rounds."""
    made: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    for key, name in [*((k, k) for k in _KEYS), ("cpu_share", "client_cpu")]:
        of = made.setdefault(name, {})
        for (state, n), rounds in found.items():
            values = [one[key] for one in rounds]
            spread = {"median": median(values), "min": min(values), "max": max(values)}
            of.setdefault(state, {})[str(n)] = {k: round(v, 3) for k, v in spread.items()}
    return made


if __name__ == "__main__":
    main()
