"""A command that is asked to end leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROWS = 100_000
LIMIT_S = 120.0
HEADER = "unit,age,q,a,p,s,t,w\n"
MAPPING = """
fleet: mill
device: unit
seq: age
readings: {quality: q, air_temperature: a, process_temperature: p, speed: s, torque: t, tool_wear: w}
"""


def test_a_replay_that_is_asked_to_end_takes_its_temporary_files_with_it(tmp_path: Path) -> None:
    table, mapping, scratch = tmp_path / "mill.csv", tmp_path / "mill.yaml", tmp_path / "scratch"
    table.write_text(HEADER + "".join(f"m{i % 50},{i // 50},1,298.5,308.5,1500,40.5,9\n" for i in range(ROWS)))
    mapping.write_text(MAPPING)
    scratch.mkdir()
    command = [sys.executable, "-m", "cli", "replay", "--check", "--fleet", "mill", "--mapping", mapping, table]
    with subprocess.Popen([str(part) for part in command], env={**os.environ, "TMPDIR": str(scratch)}) as replay:
        limit = time.monotonic() + LIMIT_S
        while not list(scratch.iterdir()):
            assert replay.poll() is None
            assert time.monotonic() < limit
            time.sleep(0.01)
        replay.send_signal(signal.SIGTERM)
        assert replay.wait(LIMIT_S) == 128 + signal.SIGTERM
    assert list(scratch.iterdir()) == []
