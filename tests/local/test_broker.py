"""The broker is the real one: these tests start, stop and kill it."""

from __future__ import annotations

import re
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from aimaas.errors import StackError
from local.broker import Broker, broker_program, find_broker, kept_port, start_broker
from local.install.jars import fetch_jars

pytestmark = pytest.mark.broker


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, jars: Path) -> Iterator[Path]:
    """The folder of a broker that the tests of this module stop, kill and start, one after the other."""
    folder = tmp_path_factory.mktemp("own") / "kafka"
    yield folder
    if left := find_broker(folder, jars):
        left.process.kill()


@pytest.fixture
def own_broker(folder: Path, jars: Path) -> Broker:
    """It runs, whatever the test before left."""
    return find_broker(folder, jars) or start_broker(folder, jars)


@pytest.fixture
def topic() -> str:
    """A topic of the test's own."""
    return f"kept-{uuid.uuid4().hex[:8]}"


def produce(broker: Broker, topic: str, values: list[bytes]) -> None:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(30)
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "acks": "all"})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(30) == 0


def consume(broker: Broker, topic: str, count: int) -> list[bytes | None]:
    consumer = Consumer(
        {"bootstrap.servers": broker.bootstrap_servers, "group.id": "reader", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([topic])
    try:
        return [message.value() for message in consumer.consume(count, timeout=30)]
    finally:
        consumer.close()


def test_a_killed_broker_comes_back_on_the_same_port_with_its_data(own_broker: Broker, topic: str) -> None:
    port = own_broker.port
    produce(own_broker, topic, [b"1", b"2"])
    own_broker.process.kill()
    assert not own_broker.process.is_alive()

    own_broker.process = start_broker(own_broker.folder, own_broker.jars).process

    assert own_broker.port == port
    assert consume(own_broker, topic, 2) == [b"1", b"2"]


def test_a_port_that_is_given_is_honoured_on_a_folder_used_before_and_kept_from_then_on(
    own_broker: Broker, jars: Path, free_port: int, topic: str
) -> None:
    produce(own_broker, topic, [b"1"])
    own_broker.process.kill()

    start_broker(own_broker.folder, jars, free_port).process.kill()
    moved = start_broker(own_broker.folder, jars)

    assert moved.port == kept_port(own_broker.folder) == free_port
    assert consume(moved, topic, 1) == [b"1"]


def test_a_controllers_port_that_somebody_took_gives_way(own_broker: Broker, jars: Path, topic: str) -> None:
    produce(own_broker, topic, [b"1"])
    text = (own_broker.folder / "server.properties").read_text()
    controller = int(re.findall(r"voters=1@127.0.0.1:(\d+)", text)[0])
    own_broker.process.kill()
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", controller))
        taken.listen()

        again = start_broker(own_broker.folder, jars)

    assert again.port == own_broker.port
    assert consume(again, topic, 1) == [b"1"]


def test_a_running_broker_is_found_again_by_its_folder_and_stops_cleanly(own_broker: Broker, jars: Path) -> None:
    found = find_broker(own_broker.folder, jars)

    assert found is not None
    assert (found.process.pid, found.bootstrap_servers) == (own_broker.process.pid, own_broker.bootstrap_servers)
    found.process.stop(timeout_s=30)
    assert not own_broker.process.is_alive()
    assert find_broker(own_broker.folder, jars) is None


def test_a_second_broker_on_the_same_folder_is_refused(own_broker: Broker, jars: Path) -> None:
    with pytest.raises(StackError, match="already runs"):
        start_broker(own_broker.folder, jars)


def test_a_taken_port_is_named(broker: Broker, tmp_path: Path, jars: Path) -> None:
    with pytest.raises(StackError, match=f"port {broker.port} is taken"):
        start_broker(tmp_path, jars, port=broker.port)


def test_a_broker_that_cannot_start_says_which_log_to_read(tmp_path: Path, jars: Path) -> None:
    broker_program(tmp_path, jars)  # prepares the folder
    properties = tmp_path / "server.properties"
    properties.write_text(properties.read_text().replace("num.io.threads=4", "num.io.threads=none"))

    with pytest.raises(StackError, match=r"kafka\.log"):
        start_broker(tmp_path, jars)


def test_fetching_jars_that_are_there_does_nothing(jars: Path) -> None:
    before = (jars / "fetched").stat().st_mtime_ns
    assert fetch_jars(jars) == jars
    assert (jars / "fetched").stat().st_mtime_ns == before
