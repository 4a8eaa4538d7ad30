"""The consumer examples read what the scorer committed, each prediction once, and nothing of an aborted transaction."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import pytest
from confluent_kafka import Producer

from aimaas.kafka import producer_config
from tests.examples.conftest import EXAMPLES
from tests.stream.conftest import Line, line  # noqa: F401 - a fixture

pytestmark = pytest.mark.broker

LIMIT_S = 90.0


class Running:
    """An example as a process, and the lines that it prints."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self.process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._lines: Queue[str] = Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for text in self.process.stdout:
            self._lines.put(text)

    def take(self, lines: int) -> list[dict[str, Any]]:
        """The next so many predictions."""
        try:
            return [json.loads(self._lines.get(timeout=LIMIT_S)) for _ in range(lines)]
        except Empty:
            self.process.kill()
            pytest.fail(f"too few lines; it said: {self.process.communicate()[1]}")

    def stop(self) -> list[dict[str, Any]]:
        """End it as a supervisor does; what it printed since."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(LIMIT_S) == 0, self.process.communicate()[1]
        return self.rest()

    def rest(self) -> list[dict[str, Any]]:
        found = []
        while True:
            try:
                found.append(json.loads(self._lines.get(timeout=0.5)))
            except Empty:
                return found


def aborted(line: Line) -> None:  # noqa: F811
    """Leave a record of an aborted transaction in every partition of the predictions."""
    producer = Producer(producer_config(line.settings, transactional_id=f"aborted-{line.fleet.fleet}"))
    producer.init_transactions(30)
    producer.begin_transaction()
    for partition in range(line.fleet.topics.partitions):
        producer.produce(line.names.predictions, b"never said", b"e-1", partition)
    producer.flush(30)
    producer.abort_transaction(30)


def test_the_python_example_prints_each_prediction_once_also_after_a_restart(line: Line) -> None:  # noqa: F811
    prints_each_once(line, [sys.executable, "predictions.py"], EXAMPLES / "python")


@pytest.mark.long  # its client is built where it cannot be fetched
@pytest.mark.timeout(2_000)
def test_the_javascript_example_prints_each_prediction_once_also_after_a_restart(
    line: Line,  # noqa: F811
    javascript: Path,
) -> None:
    prints_each_once(line, ["node", "predictions.js"], javascript)


def prints_each_once(line: Line, program: list[str], folder: Path) -> None:  # noqa: F811
    line.champion()
    events = line.events(devices=2)
    arguments = [line.settings.bootstrap_servers, line.names.predictions, f"example-{line.fleet.fleet}"]
    line.send(events[:40])
    aborted(line)
    line.score_all(40)
    first = Running([*program, *arguments], folder)
    found = first.take(40)
    found += first.stop()
    aborted(line)
    line.send(events[40:])
    line.score_all(len(events))
    second = Running([*program, *arguments], folder)
    found += second.take(len(events) - 40)
    found += second.stop()

    scored = line.scored()
    assert len(found) == len(events)
    assert {p.pop("event"): {k: v for k, v in p.items() if k != "scored_at"} for p in found} == scored
