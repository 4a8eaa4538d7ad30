"""Rows/s and peak memory of `aimaas replay` and its `--check` over a large CSV; the last line is JSON.

A file of `--mb` megabytes is written for the turbofan fleet: 27 columns, all engines side by side, cycle by cycle. Both
commands are separate processes; the peak is their largest resident memory by the operating system. Each also runs over a tenth
of the file, which shows how memory grows with the size. The broker is a single one on this machine.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from aimaas.fleet import FleetSpec
from stream.devices.simulator import healthy_rows
from stream_bench.figures import json_line, say
from stream_bench.stage import ROOT, Stage, open_stage

_LIFE = 200  # cycles of a run


class Ran(NamedTuple):
    """One command: seconds, and the peak of its resident memory in megabytes."""

    seconds: float
    peak_mb: float


def main() -> None:
    """Write the files, run the commands, print the figures."""
    given = _arguments()
    with open_stage(4) as stage:
        fleet, figures = stage.fleet(), dict[str, float]()
        with stage.topics_of(fleet):
            for name, megabytes in (("tenth", given.mb / 10), ("whole", given.mb)):
                path = stage.folder / f"{name}.csv"
                rows = write_table(path, fleet, int(megabytes * 1e6), given.engines)
                figures |= _measured(stage, fleet, path, rows, "" if name == "whole" else "tenth_")
                path.unlink()
    json_line("replay_file", {"mb": given.mb, "engines": given.engines, **figures})


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mb", type=float, default=1_000, help="size of the file")
    parser.add_argument("--engines", type=int, default=1_000)
    return parser.parse_args()


def write_table(path: Path, fleet: FleetSpec, size: int, engines: int) -> int:
    """Write a CSV of at least `size` bytes; return the number of its rows."""
    texts = [",".join(f"{v:.7g}" for v in row) for row in healthy_rows(fleet, 10_000, 7).tolist()]
    rows = 0
    with path.open("w", encoding="utf-8") as file:
        file.write(",".join(["engine", "life", "cycle", *fleet.readings]) + "\n")
        while file.tell() < size:
            life, cycle = divmod(rows // engines, _LIFE)
            lines = [f"{e:06d},{life},{cycle + 1},{texts[(rows + e) % len(texts)]}\n" for e in range(engines)]
            file.write("".join(lines))
            rows += engines
    return rows


def _measured(stage: Stage, fleet: FleetSpec, path: Path, rows: int, prefix: str) -> dict[str, float]:
    mapping = stage.folder / "mapping.yaml"
    readings = "".join(f"  {name}: {name}\n" for name in fleet.readings)
    placed = "device: engine\nrun: life\nseq: cycle\n"
    mapping.write_text(f"fleet: {fleet.fleet}\n{placed}readings:\n{readings}outcome: {{last_row: failed}}\n")
    found: dict[str, float] = {f"{prefix}rows": rows}
    for name, options in (("check", ["--check"]), ("replay", [])):
        ran = _run(stage, ["replay", str(path), "--fleet", fleet.fleet, "--mapping", str(mapping), *options])
        say(f"  {name}: {rows:,} rows, {rows / ran.seconds:,.0f} rows/s, peak {ran.peak_mb:,.0f} MB")
        found |= {f"{prefix}{name}_rows_s": round(rows / ran.seconds), f"{prefix}{name}_peak_mb": round(ran.peak_mb)}
    return found


def _run(stage: Stage, arguments: list[str]) -> Ran:
    """Run a command of `aimaas` to its end. Raises SystemExit if it fails."""
    environ = {
        **os.environ,
        "AIMAAS_HOME": str(stage.settings.home),
        "AIMAAS_FLEETS": str(ROOT / "fleets"),
        "AIMAAS_KAFKA_BOOTSTRAP_SERVERS": stage.settings.bootstrap_servers,
    }
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "cli", *arguments], env=environ, cwd=ROOT, stdout=sys.stderr)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"aimaas {' '.join(arguments)} failed with status {os.waitstatus_to_exitcode(status)}")
    return Ran(time.perf_counter() - began, usage.ru_maxrss * 1_024 / 1e6)


if __name__ == "__main__":
    main()
