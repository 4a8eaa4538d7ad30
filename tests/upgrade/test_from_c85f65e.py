"""What the earlier commit c85f65e left in a home, a lake and on a broker goes on under this one, in place.

The code of that commit writes it itself.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from aimaas.fleet import FleetSpec, load_fleet
from aimaas.kafka import create_topics, producer_config, read_all
from aimaas.settings import Settings, read_settings
from aimaas.topics import topic_names, topic_specs
from local.broker import Broker, find_broker, start_broker
from local.ports import free_port

pytestmark = [pytest.mark.spark, pytest.mark.broker, pytest.mark.long, pytest.mark.timeout(2_400)]

PROJECT = Path(__file__).resolve().parents[2]
EARLIER = "c85f65e"
LIMIT_S = 300.0
FLEET, DEVICES = "mill", 40
BROKER = """
from pathlib import Path
import sys
from local.broker import start_broker
start_broker(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
"""


@dataclass(frozen=True)
class Release:
    """The code of a state in `tree`, run by the packages of this one."""

    tree: Path
    environ: dict[str, str]
    command: str = "cli"  # the module of the command `aimaas`

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, *arguments]
        environ = {**os.environ, **self.environ, "PYTHONPATH": str(self.tree)}
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=self.tree, env=environ, stdout=pipe, stderr=subprocess.STDOUT, text=True)

    def python(self, *arguments: str) -> str:
        """Run Python on the release's code; what it printed."""
        started = self.start(*arguments)
        said, _ = started.communicate(timeout=600)
        assert started.returncode == 0, f"{arguments}: {said[-4000:]}"
        return said

    def aimaas(self, *arguments: str) -> str:
        return self.python("-m", self.command, *arguments)

    def job(self, name: str) -> None:
        """Run a Spark job as a task does."""
        self.python("-m", f"spark_jobs.{name}", "--fleet", FLEET)

    def gate(self, table: str) -> None:
        self.aimaas("gate", "check", "--fleet", FLEET, "--table", table)


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree of the earlier commit."""
    packed = subprocess.run(["git", "archive", EARLIER], cwd=PROJECT, capture_output=True, check=False)
    if packed.returncode != 0:
        pytest.skip(f"this clone does not have the commit {EARLIER}")
    tree = tmp_path_factory.mktemp("earlier")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as tar:
        tar.extractall(tree, filter="data")
    return tree


@dataclass
class Home:
    """A home on a broker of its own, whose data outlive both."""

    folder: Path
    port: int

    @property
    def environ(self) -> dict[str, str]:
        return {
            "AIMAAS_HOME": str(self.folder),
            "AIMAAS_FLEETS": str(self.folder.parent / "fleets"),
            "AIMAAS_JARS": str(read_settings().jars),
            "AIMAAS_KAFKA_BOOTSTRAP_SERVERS": f"localhost:{self.port}",
        }

    @property
    def settings(self) -> Settings:
        return read_settings(self.environ)

    @property
    def fleet(self) -> FleetSpec:
        return load_fleet(self.folder.parent / "fleets" / f"{FLEET}.yaml")

    def running(self) -> Broker | None:
        """The broker that runs on the home, whichever release started it."""
        return find_broker(self.folder / "kafka", read_settings().jars)

    def send(self, device: str, events: list[dict[str, Any]]) -> None:
        producer = Producer(producer_config(self.settings))
        for event in events:
            value = json.dumps(event | {"device_id": device}).encode()
            producer.produce(topic_names(self.fleet).events, value, device.encode())
        assert producer.flush(60) == 0

    def first_life(self) -> list[dict[str, Any]]:
        """The events of the device that sent first."""
        events = [json.loads(r.value) for r in read_all(self.settings, topic_names(self.fleet).events) if r.value]
        return [event for event in events if event["device_id"] == events[0]["device_id"]]

    def predictions(self) -> list[dict[str, Any]]:
        return [json.loads(r.value) for r in read_all(self.settings, topic_names(self.fleet).predictions) if r.value]

    def said_of(self, device: str) -> list[tuple[Any, ...]]:
        """What was predicted of a device: place in its life, answer and the version that gave it."""
        return sorted(
            (p["run"], p["seq"], p["prediction"], p["model_version"])
            for p in self.predictions()
            if p["device_id"] == device
        )


@pytest.fixture
def home(earlier: Path, tmp_path: Path) -> Iterator[Home]:
    (tmp_path / "fleets").mkdir()
    shutil.copy(earlier / "fleets" / f"{FLEET}.yaml", tmp_path / "fleets")
    found = Home(tmp_path / "home", free_port())
    yield found
    if running := found.running():
        running.process.stop()


def awaited(happened: Callable[[], bool], scorer: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not happened():
        if scorer.poll() is not None:
            pytest.fail(f"the scorer has ended: {scorer.stdout.read() if scorer.stdout else ''}")
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(1)


def scored(release: Release, work: Callable[[subprocess.Popen[str]], None], end: signal.Signals) -> None:
    """Do the work beside a scorer of the release, which is then ended."""
    scorer = release.start("-m", release.command, "score", "--fleet", FLEET)
    try:
        work(scorer)
        scorer.send_signal(end)
        scorer.communicate(timeout=120)
    finally:
        scorer.kill()


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL], ids=["asked", "killed"])
def test_home_lake_topics_and_model_of_c85f65e_go_on(earlier: Path, home: Home, end: signal.Signals) -> None:
    old, new = Release(earlier, home.environ, "aimaas.cli"), Release(PROJECT, home.environ)
    old.python("-c", BROKER, str(home.folder / "kafka"), home.environ["AIMAAS_JARS"], str(home.port))
    old.aimaas("topics", "create", "--fleet", FLEET)
    old.aimaas("devices", "--fleet", FLEET, "--devices", str(DEVICES))
    for job in ("land", "admit", "gold"):
        old.job(job)
    old.aimaas("train", "--fleet", FLEET, "--register")
    old.aimaas("models", "promote", "1", "--fleet", FLEET)
    life = home.first_life()
    device = life[0]["device_id"]
    half = len(life) // 2

    def before(scorer: subprocess.Popen[str]) -> None:
        home.send("half_way", life[:half])
        awaited(lambda: len(home.said_of("half_way")) == half, scorer)

    scored(old, before, end)
    broker = home.running()
    assert broker is not None
    broker.process.stop()

    start_broker(broker.folder, read_settings().jars)
    create_topics(home.settings, topic_specs(home.fleet))

    def after(scorer: subprocess.Popen[str]) -> None:
        home.send("half_way", life[half:])
        awaited(lambda: len(home.said_of("half_way")) == len(life), scorer)

    scored(new, after, signal.SIGTERM)
    assert home.said_of("half_way") == home.said_of(device), "its state was read, and the model answers as it did"
    assert {p["model_version"] for p in home.predictions()} == {"1"}

    for job in ("land", "admit"):
        new.job(job)
    new.gate("silver")
    new.job("gold")
    new.gate("gold")
    found = json.loads(new.aimaas("reconcile", "--fleet", FLEET, "--json"))
    assert (found["gaps"], found["lost"]) == ([], [])
    assert max(Counter((p["device_id"], p["run"], p["seq"]) for p in home.predictions()).values()) == 1

    said = new.aimaas("train", "--fleet", FLEET, "--register")
    assert "registered as version 2" in said
    new.aimaas("models", "promote", "2", "--fleet", FLEET)

    def then(scorer: subprocess.Popen[str]) -> None:
        home.send("new", life)
        awaited(lambda: len(home.said_of("new")) == len(life), scorer)

    scored(new, then, signal.SIGTERM)
    assert {version for *_, version in home.said_of("new")} == {"2"}
    new.aimaas("models", "rollback", "--fleet", FLEET)
