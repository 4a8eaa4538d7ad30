"""A line on a broker of its own, which may be killed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from aimaas.settings import Settings
from local.broker import Broker, start_broker
from tests.chaos.untrusted import distrusting
from tests.stream.conftest import Line, open_line

# silence, and conditions that hold now and then
RULES: dict[str, Any] = {
    "hot": {"when": "s2 > 642.5 and prediction > 0", "for": "2 events", "clear": "s2 < 642.3"},
    "odd": {"when": "s3 > 1590", "keep_firing_for": "3 events", "summary": "{device_id}: {s3:.1f}"},
    "quiet": {"absent_for": "3s"},
}


@dataclass(frozen=True)
class Ground:
    """Where chaos happens."""

    line: Line
    broker: Broker


@pytest.fixture
def ground(offline_settings: Settings, jars: Path, tmp_path: Path) -> Iterator[Ground]:
    """A fleet's topics and nothing else on a new broker."""
    broker = start_broker(tmp_path / "kafka", jars)
    settings = replace(offline_settings, kafka={"bootstrap.servers": broker.bootstrap_servers})
    try:
        with open_line(distrusting(settings), tmp_path, "chaos", rules=RULES) as line:
            yield Ground(line, broker)
    finally:
        broker.process.kill()
