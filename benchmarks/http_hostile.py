"""The latency of a caller with a key over HTTP, alone and beside three kinds of hostile callers; the last line is JSON.

The hostile callers are four connections that send headers without end, 800 that send a byte of a head each second, and 200 that
ask for large files and do not read them. A closed connection connects again. All of it runs on this machine, for `--seconds`
each.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from http_bench.stage import ROOT, bodies, service
from http_latency import load

KINDS = {"alone": 0, "heads": 4, "slow": 800, "readers": 200}
_SETTLE_S = 2.0


def main() -> None:
    """Run each kind once, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8, help="of each kind")
    parser.add_argument("--trees", type=int, default=200)
    given = parser.parse_args()
    found = {}
    with service(given.trees) as (fleet, port), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bodies"
        path.write_bytes(b"\n".join(bodies(fleet, 200, 30)))
        load(port, path, 1, 2)
        for kind, connections in KINDS.items():
            with hostile(kind, port, connections, given.seconds + 4 * _SETTLE_S):
                measured = load(port, path, 1, given.seconds, "--cold")
            found[kind] = {key: round(measured[key], 3) for key in ("requests_s", "p50_ms", "p99_ms")}
            print(f"{kind}: {found[kind]}", file=sys.stderr, flush=True)
    print(json.dumps({"benchmark": "http_hostile", **found, **vars(given)}))


@contextmanager
def hostile(kind: str, port: int, connections: int, seconds: float) -> Iterator[None]:
    """Run this many hostile callers during a `with` block; none for 0."""
    if not connections:
        yield
        return
    command = [sys.executable, "-m", "http_bench.hostile", kind, "--port", str(port)]
    command += ["--connections", str(connections), "--seconds", str(seconds)]
    process = subprocess.Popen(command, cwd=ROOT / "benchmarks", stdout=subprocess.DEVNULL)
    try:
        time.sleep(_SETTLE_S)
        yield
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    main()
