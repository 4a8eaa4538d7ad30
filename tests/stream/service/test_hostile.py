"""Keyed callers are answered beside hostile ones, who come from a process of their own as they would."""

from __future__ import annotations

import http.client
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.stream.service.conftest import Serving

ROOT = Path(__file__).resolve().parents[3]
ASKED = json.dumps({"events": [{"readings": {"o": 1, "a": 1, "b": 2, "n": 1}}]}).encode()
SECONDS = 4.0


@contextmanager
def attack(kind: str, port: int, connections: int) -> Iterator[None]:
    command = [sys.executable, "-m", "http_bench.hostile", kind, "--port", str(port)]
    command += ["--connections", str(connections), "--seconds", "30"]
    process = subprocess.Popen(command, cwd=ROOT / "benchmarks", stdout=subprocess.DEVNULL)
    try:
        yield
        assert process.poll() is None, "the attack is over"
    finally:
        process.kill()
        process.wait(10)


def latencies(port: int, seconds: float = SECONDS) -> list[float]:
    """Seconds that keyed requests took, on one connection that is opened anew where the service closed it."""
    found = []
    until = time.monotonic() + seconds
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    while time.monotonic() < until:
        began = time.perf_counter()
        try:
            connection.request("POST", "/predict", ASKED, {"X-API-Key": "k"})
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            answer.read()
        except (http.client.RemoteDisconnected, ConnectionError):
            connection.close()
            continue
        found.append(time.perf_counter() - began)
    connection.close()
    return found


@pytest.mark.parametrize(("kind", "connections"), [("heads", 4), ("slow", 300), ("readers", 100)])
def test_keyed_callers_are_answered_beside_hostile_ones(serving: Serving, kind: str, connections: int) -> None:
    with serving(api_key="k", connections=100) as served:
        alone = latencies(served.port)
        with attack(kind, served.port, connections):
            time.sleep(1)
            beside = latencies(served.port)
            health = served.call("/healthz").status

    assert health == 200
    assert len(beside) > 5
    assert statistics.median(beside) < 10 * statistics.median(alone) + 0.2  # it was seconds; the machine may be busy
