"""Fixtures that all tests share: the real engines, each started at most once per test process."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from aimaas.settings import Settings, read_settings
from local import ports
from local.broker import Broker, start_broker
from local.install.jars import fetch_jars

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

FLEETS = Path(__file__).resolve().parents[1] / "fleets"


# a busy machine may take any time for an example; tests as a whole have limits
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

_NO_PICTURE = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"></svg>'
_SLOWEST_FIRST = ("airflow", "spark", "broker")


@pytest.hookimpl(trylast=True)  # of those that were chosen
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that start the slower engines come first: one that came last would keep one core busy alone (`--dist loadfile`)."""
    ranks: dict[Path, int] = {}
    for item in items:
        own = [r for r, engine in enumerate(_SLOWEST_FIRST) if item.get_closest_marker(engine)]
        rank = min(own, default=len(_SLOWEST_FIRST))
        ranks[item.path] = min(rank, ranks.get(item.path, rank))
    items.sort(key=lambda item: ranks[item.path])


@pytest.fixture(scope="module", autouse=True)
def _collected() -> Iterator[None]:
    """Collect what a module left: clients of Kafka in cycles have threads, which ask for brokers that are gone without end."""
    yield
    gc.collect()


@pytest.fixture(scope="session")
def jars() -> Path:
    """The folder of the jars, fetched when they are not there yet."""
    return fetch_jars(read_settings().jars)


@pytest.fixture(scope="session")
def broker(jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A real Kafka; tests that kill it start one of their own."""
    running = start_broker(tmp_path_factory.mktemp("kafka"), jars)
    yield running
    running.process.kill()


@pytest.fixture
def offline_settings(tmp_path: Path) -> Settings:
    """Settings of an empty home, with no broker behind them."""
    return _settings(tmp_path / "home", "127.0.0.1:1")


@pytest.fixture
def settings(tmp_path: Path, broker: Broker, jars: Path) -> Settings:
    """Settings of an empty home that point at the real broker."""
    return _settings(tmp_path / "home", broker.bootstrap_servers)


@pytest.fixture(scope="module")
def module_settings(tmp_path_factory: pytest.TempPathFactory, broker: Broker, jars: Path) -> Settings:
    """Like `settings`, one home for all tests of a module."""
    return _settings(tmp_path_factory.mktemp("home"), broker.bootstrap_servers)


@pytest.fixture(scope="session")
def spark(jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """A real Spark that reads Kafka and writes Delta."""
    from spark_jobs.session import spark_session

    session = spark_session(_settings(tmp_path_factory.mktemp("spark"), "127.0.0.1:1"), "tests")
    yield session
    session.stop()


@pytest.fixture
def unrendered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The figures of model cards are made and not rendered, which is nine tenths of a small training."""
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda _, into, **__: into.write(_NO_PICTURE))


@pytest.fixture
def free_port() -> int:
    """A TCP port that nobody listens on."""
    return ports.free_port()


def _settings(home: Path, bootstrap_servers: str) -> Settings:
    return read_settings(
        {
            "AIMAAS_HOME": str(home),
            "AIMAAS_FLEETS": str(FLEETS),
            "AIMAAS_JARS": str(read_settings().jars),
            "AIMAAS_KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
            "AIMAAS_REPLAY_KEY": "of the tests",
        }
    )
