"""The gate of silver by number of new rows: rows/s and peak memory; the last line is JSON.

Each lake is new. It has `--before` published turbofan rows, from which the gate knows usual values, and then the rows to judge.
An expectation of severity `quarantine` sets 1 % of these aside. Each gate is a separate process, like a task: `seconds` is its
whole duration, with Python's imports and the start of Spark. `peak_mib` is the most resident memory that the process, Spark's
driver and Spark's workers had at once. `peak_ratio` is the peak of the largest size over the peak of the smallest.

`in_process` are the same gates without Spark, for the sizes up to `--most-in-process`: all new rows in the memory of this
process.

    .venv/bin/python benchmarks/gates.py                # --rows 100000 1000000 10000000; --quick: a minute, to see that it runs
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from lake_bench.growing import steps_of
from lake_bench.memory import Peak

from aimaas.fleet import FleetSpec, load_fleet
from aimaas.lake import row_count, table_path
from aimaas.settings import Settings, read_settings
from expectations.resolve import Resolution, publish_unjudged
from stream.devices.histories import Histories
from stream_bench.figures import json_line, say

_ROOT = Path(__file__).resolve().parents[1]
_PARTITIONS = 8
_DAY = date(2026, 11, 23)
_BEGIN = np.datetime64(_DAY, "us")
_ASIDE = {
    "type": "expect_column_values_to_be_between", "kwargs": {"column": "s2", "max_value": 693.0}, "severity": "quarantine",
}  # fmt: skip
_GATE = Path(__file__).parent / "lake_bench" / "one_gate.py"


@dataclass
class Lake:
    """A new lake with silver and admission's offsets."""

    settings: Settings
    fleet: FleetSpec
    devices: int
    steps: int = 0

    def admit(self, rows: int) -> None:
        """Append this many rows to silver, as admission would."""
        from deltalake import write_deltalake

        count = rows // self.devices
        for histories in steps_of(self.fleet, self.devices, self.steps, count):
            write_deltalake(
                self._path("silver"), self._silver(histories), mode="append", partition_by=["topic", "partition"]
            )
        self.steps += count
        write_deltalake(
            self._path("admission_state"), self._ends(), mode="overwrite", partition_by=["topic", "partition"]
        )

    def _path(self, table: Any) -> str:
        return table_path(self.settings, self.fleet.fleet, table)

    def _silver(self, h: Histories) -> Any:
        """Return silver rows; a device's rows are in one partition, in their order."""
        import pyarrow as pa

        each = -(-self.devices // _PARTITIONS)
        ts = _BEGIN + h.step.astype("m8[s]").astype("m8[us]")
        times = pa.array(ts, pa.timestamp("us", "UTC"))
        readings = dict(zip(self.fleet.readings, h.values.T, strict=True))
        return pa.table({
            "topic": pa.array(["iot.turbofan.events"] * len(h)), "partition": pa.array(h.device // each, pa.int32()),
            "offset": h.step * each + h.device % each, "broker_ts": times,
            "device_id": pa.array(h.devices).take(pa.array(h.device)), "run": h.run, "seq": h.seq,
            "order": h.seq, "ts": times, **readings, "day": pa.array([_DAY] * len(h)),
        })  # fmt: skip

    def _ends(self) -> Any:
        import pyarrow as pa

        each = -(-self.devices // _PARTITIONS)
        partitions = sorted({d // each for d in range(self.devices)})
        ends = [self.steps * each - 1] * len(partitions)
        topics = ["iot.turbofan.events"] * len(partitions)
        return pa.table({"topic": topics, "partition": pa.array(partitions, pa.int32()), "offset": ends})


def main() -> None:
    """Fill lakes, judge them, print the figures."""
    given = _arguments()
    found: dict[str, dict[str, dict[str, float]]] = {"in_spark": {}, "in_process": {}}
    for rows in given.rows:
        for how in _ways(given, rows):
            with tempfile.TemporaryDirectory(prefix="gates-") as folder:
                found[how][str(rows)] = _measured(_lake(Path(folder), given, rows), how)
                say(f"{rows:>12,} {how:12} {found[how][str(rows)]}")
    peaks = [figures["peak_mib"] for figures in found["in_spark"].values()]
    json_line(
        "gates",
        {**found, "peak_ratio": round(peaks[-1] / peaks[0], 3), "before": given.before, "devices": given.devices},
    )


def _ways(given: argparse.Namespace, rows: int) -> Iterator[str]:
    yield "in_spark"
    if rows <= given.most_in_process:
        yield "in_process"


def _lake(folder: Path, given: argparse.Namespace, rows: int) -> Lake:
    (folder / "fleets" / "expectations").mkdir(parents=True)
    shutil.copy(_ROOT / "fleets" / "turbofan.yaml", folder / "fleets")
    (folder / "fleets" / "expectations" / "turbofan_silver.yaml").write_text(yaml.safe_dump([_ASIDE]))
    settings = replace(
        read_settings({"AIMAAS_HOME": str(folder), "AIMAAS_FLEETS": str(folder / "fleets")}), jars=read_settings().jars
    )
    lake = Lake(settings, load_fleet(folder / "fleets" / "turbofan.yaml"), given.devices)
    lake.admit(given.before)
    publish_unjudged(settings, lake.fleet, "silver", Resolution("benchmark", "simulated", datetime.now(UTC)))
    lake.admit(rows)
    return lake


def _measured(lake: Lake, how: str) -> dict[str, float]:
    environment = {
        "AIMAAS_HOME": str(lake.settings.home), "AIMAAS_FLEETS": str(lake.settings.fleets), "AIMAAS_JARS": str(lake.settings.jars),
        "PYTHONPATH": str(_ROOT),
    }  # fmt: skip
    before, began = row_count(lake.settings, "turbofan", "quarantine"), time.monotonic()
    gate = subprocess.Popen(
        [sys.executable, _GATE, how], env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True
    )
    with gate, Peak(gate.pid) as peak:
        printed, _ = gate.communicate()
    seconds = time.monotonic() - began
    if gate.returncode:
        raise SystemExit(f"the gate ended with {gate.returncode}")
    report = json.loads(printed.splitlines()[-1])
    aside = row_count(lake.settings, "turbofan", "quarantine") - before
    assert aside == report["set_aside"], (aside, report)
    return {
        **report,
        "seconds": round(seconds, 1),
        "rows_s": round(report["rows"] / seconds),
        "peak_mib": round(peak.mib),
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--before", type=int, default=1_000_000, help="rows that were published before")
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument(
        "--most-in-process", type=int, default=1_000_000, help="the most rows to judge without Spark too"
    )
    parser.add_argument("--quick", action="store_true", help="small lakes, to see that it runs")
    given = parser.parse_args()
    if given.quick:
        given.rows, given.before, given.devices = [60_000, 120_000], 20_000, 1_000
    return given


if __name__ == "__main__":
    main()
