"""A line on a broker of its own, which may be killed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from aimaas.settings import Settings
from local.broker import Broker, start_broker
from tests.chaos.untrusted import distrusting
from tests.stream.conftest import Line, open_line


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
        with open_line(distrusting(settings), tmp_path, "chaos") as line:
            yield Ground(line, broker)
    finally:
        broker.process.kill()
