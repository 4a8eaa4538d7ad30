"""Two gateways with different partitioners send for one device: one of them is refused, or both are told of."""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from typer.testing import CliRunner

from aimaas.admission.partitioner import partition_of
from aimaas.kafka import producer_config
from aimaas.lake import read_table
from aimaas.settings import Settings
from cli.app import app
from spark_jobs.admit import admit
from spark_jobs.job import Job
from spark_jobs.land import land
from tests.published import gold
from tests.stream.conftest import Line, open_line
from upkeep.dead_letters.letters import read_letters
from upkeep.dead_letters.replay import replay_letters

pytestmark = [pytest.mark.broker, pytest.mark.spark, pytest.mark.timeout(600)]


@pytest.fixture
def careless_line(settings: Settings, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A fleet whose producers may have any partitioner."""
    topics = {"partitions": 2, "partitioner": "any"}
    with open_line(settings, tmp_path, request.node.nodeid, topics=topics) as made:
        yield made


def send_by_two(line: Line, events: list[tuple[bytes, bytes]]) -> None:
    """Every other record goes through a producer with librdkafka's own default partitioner."""
    other = Producer(producer_config(line.settings, partitioner="consistent_random"))
    for i, (key, value) in enumerate(events):
        producer = other if i % 2 else line.producer
        producer.produce(line.names.events, value, key)
        assert producer.flush(30) == 0


def run(line: Line, spark: Any, *jobs: Any) -> None:
    for job in jobs:
        job(Job(job.__name__, line.settings, line.fleet, argparse.Namespace(), start=lambda *_: spark))


def reconciled(line: Line) -> dict[str, Any]:
    environment = {
        "AIMAAS_HOME": str(line.settings.home), "AIMAAS_FLEETS": str(line.folder),
        "AIMAAS_KAFKA_BOOTSTRAP_SERVERS": line.settings.bootstrap_servers,
    }  # fmt: skip
    done = CliRunner().invoke(app, ["reconcile", "--fleet", line.fleet.fleet, "--json"], env=environment)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def device_of_two_partitions(line: Line) -> list[tuple[bytes, bytes]]:
    """40 events of one device that the two partitioners send to different partitions."""
    several = [line.events(devices=1, first_device=number)[:40] for number in range(8)]
    return next(events for events in several if zlib.crc32(events[0][0]) % 2 != partition_of(events[0][0], 2))


def test_of_two_partitioners_the_one_that_the_fleet_file_does_not_name_is_refused_by_stream_and_lake(
    line: Line, spark: Any
) -> None:
    line.champion()
    events = device_of_two_partitions(line)
    send_by_two(line, events)

    line.score_all(20, 20)
    run(line, spark, land, admit)
    refused = read_table(line.settings, line.fleet.fleet, "quarantine", ["topic", "partition", "offset", "reason"])

    assert set(line.letters().values()) == {"wrong_partition"}
    of_the_lake = {f"{r['topic']}/{r['partition']}/{r['offset']}": r["reason"] for r in refused.to_pylist()}
    assert of_the_lake == line.letters()

    letters = read_letters(line.settings, line.fleet)  # the gateway is set right, and its records are sent again
    replay_letters(line.settings, line.fleet, letters, letters)
    line.score_all(40, 20)
    assert sorted(p["seq"] for p in line.scored().values()) == list(range(1, 41))


def test_where_any_partitioner_goes_the_log_and_the_account_of_the_day_name_the_device(
    careless_line: Line, spark: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    line = careless_line
    line.champion()
    events = device_of_two_partitions(line)
    send_by_two(line, events)

    line.score_all(40)
    run(line, spark, land, admit, gold)

    lines = [t for t in "".join(capsys.readouterr()).splitlines() if "a device lies where its key does not lead" in t]
    device = events[0][0].decode()
    assert len(lines) == 1
    assert f"device={device}" in lines[0]
    split = reconciled(line)["split_devices"]
    assert [(d["device_id"], d["partitions"]) for d in split] == [(device, [0, 1])]
