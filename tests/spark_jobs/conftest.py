"""A small fleet of its own for each test: topics on the real broker, records in them, and jobs on the shared Spark."""

from __future__ import annotations

import argparse
import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import Producer

from aimaas.fleet import FleetSpec
from aimaas.kafka import create_topics, delete_topics, producer_config
from aimaas.settings import Settings
from aimaas.topics import topic_names, topic_specs
from spark_jobs.job import Job

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

START = datetime(2026, 1, 1, tzinfo=UTC)
ROOM = {
    "version": 1,
    "settings": {"mode": {"name": "mode", "unit": "1", "range": [0, 10]}},
    "sensors": {
        "heat": {"name": "heat", "unit": "K", "range": [0, 1000]},
        "load": {"name": "load", "unit": "N", "range": [-50, 50], "nullable": True, "fill": "previous"},
    },
    "derived": {"stress": "heat * load"},
    "features": {"windows": [3, 7], "first": 2, "regimes": 3},
    "task": {"kind": "remaining_useful_life", "unit": "cycles", "cap": 20},
    "training": {"candidates": {"ridge": {}}},
    "limits": {"record_bytes": 400, "skew_s": 60},
    "topics": {"partitions": 3},
}


def small_fleet(**changes: Any) -> FleetSpec:
    """A fleet with every kind of reading and feature; `changes` replace top-level keys of its file."""
    return FleetSpec.model_validate({"fleet": f"room_{uuid.uuid4().hex[:8]}", **ROOM, **changes})


def event(fleet: FleetSpec, device: str, seq: int, run: int = 0, /, **changes: Any) -> bytes:
    """One good event; `changes` replace keys, or with `without=…` leave one out of the readings."""
    readings = {"mode": seq % 3, "heat": 300.0 + seq, "load": 1.5 * (seq % 7)} | changes.pop("readings", {})
    readings.pop(changes.pop("without", ""), None)
    ts = (START + timedelta(seconds=seq)).isoformat()
    whole = {"fleet": fleet.fleet, "device_id": device, "run": run, "seq": seq, "ts": ts, "readings": readings}
    return json.dumps(whole | changes).encode()


def outcome(fleet: FleetSpec, device: str, seq: int, kind: str = "failed", run: int = 0) -> bytes:
    """One good outcome."""
    return json.dumps(
        {"fleet": fleet.fleet, "device_id": device, "run": run, "seq": seq, "ts": START.isoformat(), "kind": kind}
    ).encode()


@dataclass
class Plant:
    """A fleet with its topics, and the jobs that run on them."""

    fleet: FleetSpec
    settings: Settings
    session: Callable[[], SparkSession]

    def send(self, *records: tuple[str | bytes | None, bytes | None], topic: str = "events", **extra: Any) -> None:
        """Produce (key, value) pairs and wait until the broker has them."""
        producer = Producer(producer_config(self.settings, **extra))
        if extra:
            producer.init_transactions(30)
            producer.begin_transaction()
        name = getattr(topic_names(self.fleet), topic)
        for key, value in records:
            producer.produce(name, value, key, headers=[("ce_id", b"1")])
        if extra:
            producer.commit_transaction(30)
        assert producer.flush(30) == 0

    def event(self, device: str, seq: int, run: int = 0, /, **changes: Any) -> bytes:
        """One good event of the fleet; see `event`."""
        return event(self.fleet, device, seq, run, **changes)

    def outcome(self, device: str, seq: int, kind: str = "failed", run: int = 0) -> bytes:
        """One good outcome of the fleet."""
        return outcome(self.fleet, device, seq, kind, run)

    def job(self, name: str, **arguments: Any) -> Job:
        """A job as its `main` would make it, on the session of the tests."""
        return Job(name, self.settings, self.fleet, argparse.Namespace(**arguments), start=lambda *_: self.session())


@pytest.fixture
def plant(settings: Settings, request: pytest.FixtureRequest) -> Iterator[Plant]:
    fleet = small_fleet()
    create_topics(settings, topic_specs(fleet))
    yield Plant(fleet, settings, lambda: request.getfixturevalue("spark"))
    delete_topics(settings, [spec.name for spec in topic_specs(fleet)])


@pytest.fixture
def make_fleet() -> Callable[..., FleetSpec]:
    return small_fleet
