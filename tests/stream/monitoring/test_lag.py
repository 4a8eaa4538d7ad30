"""How far behind a consumer is, on a real broker: what an end is, and that asking waits for nobody."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from aimaas.kafka import consumer_config, producer_config
from aimaas.settings import Settings
from stream.monitoring.health import Limits, Liveness
from stream.monitoring.lag import LagWatch, Place
from tests.stream.conftest import Line

LIMIT_S = 30.0


class Behind:
    """A consumer with both partitions of a fleet's events assigned by hand, and the watch over it."""

    def __init__(self, line: Line) -> None:
        self.topic: str = line.names.events
        self.consumer = Consumer(consumer_config(line.settings, "behind"))
        self.consumer.assign([TopicPartition(self.topic, p, 0) for p in (0, 1)])
        self.watch = LagWatch(line.settings, self.topic, every_s=0.05)
        self.read = 0

    def consume(self) -> None:
        self.read += sum(m.error() is None for m in self.consumer.consume(1_000, 0.05))

    def look(self) -> dict[int, Place] | None:
        return self.watch.look(self.consumer, {0: 0, 1: 0}, time.monotonic())

    def lags(self, wanted: dict[int, int]) -> dict[int, Place]:
        """Consume until the lags are these."""
        limit, found = time.monotonic() + LIMIT_S, None
        while found is None or {p: place.lag for p, place in found.items()} != wanted:
            assert time.monotonic() < limit, f"{found}, wanted {wanted}"
            self.consume()
            found = self.look() or found
        return found


@pytest.fixture
def behind(line: Line) -> Iterator[Behind]:
    made = Behind(line)
    yield made
    made.consumer.close()


@pytest.fixture
def send(line: Line) -> Callable[[int, int], None]:
    def send_some(partition: int, records: int) -> None:
        for _ in range(records):
            line.producer.produce(line.names.events, b"x", partition=partition)
        assert line.producer.flush(LIMIT_S) == 0

    return send_some


@pytest.mark.broker
def test_the_lag_is_what_is_not_read_and_none_is_left_at_the_end(
    behind: Behind, send: Callable[[int, int], None]
) -> None:
    behind.consumer.pause([TopicPartition(behind.topic, 0), TopicPartition(behind.topic, 1)])
    send(0, 3)
    send(1, 4)
    assert behind.lags({0: 3, 1: 4}) == {0: Place(0, 3), 1: Place(0, 4)}

    behind.consumer.resume([TopicPartition(behind.topic, 0), TopicPartition(behind.topic, 1)])

    assert behind.lags({0: 0, 1: 0}) == {0: Place(3, 3), 1: Place(4, 4)}
    assert behind.read == 7


@pytest.mark.broker
def test_a_transaction_of_those_who_write_the_events_is_no_lag_while_open_nor_once_aborted(
    behind: Behind, line: Line, send: Callable[[int, int], None]
) -> None:
    send(0, 3)
    writer = Producer(producer_config(line.settings, transactional_id=f"{line.fleet.fleet}-gateway"))
    writer.init_transactions(LIMIT_S)
    for end in (writer.abort_transaction, writer.commit_transaction):
        writer.begin_transaction()
        for _ in range(5):
            writer.produce(line.names.events, b"x", partition=0)
        assert writer.flush(LIMIT_S) == 0
        behind.lags({0: 0, 1: 0})
        end(LIMIT_S)
        behind.lags({0: 0, 1: 0})

    # 3 records, 5 and a marker aborted, 5 and a marker committed
    limit = time.monotonic() + LIMIT_S
    while behind.lags({0: 0, 1: 0})[0] != Place(15, 15):
        assert time.monotonic() < limit
    assert behind.read == 8


@pytest.mark.broker
def test_a_partition_that_is_silently_not_fetched_stalls_the_scorer_although_its_loop_turns(
    behind: Behind, send: Callable[[int, int], None]
) -> None:
    send(0, 1)
    send(1, 1)
    behind.lags({0: 0, 1: 0})
    behind.consumer.pause([TopicPartition(behind.topic, 1)])
    send(0, 5)
    send(1, 5)
    places, liveness = behind.lags({0: 0, 1: 5}), Liveness(Limits(), 0)
    liveness.serves("1")
    liveness.owns([0, 1], 0)

    for now in (0.0, 31.0):
        liveness.turned(now)
        liveness.seen(places, now)

    assert liveness.look(31).stalled == ("partition 1 stands at 1 of 6 and was not fetched for 31 s",)


@pytest.mark.broker
def test_a_partition_that_was_rewound_lags_from_where_it_is_to_be_read_on(
    behind: Behind, send: Callable[[int, int], None]
) -> None:
    send(0, 4)
    behind.lags({0: 0, 1: 0})
    behind.consumer.pause([TopicPartition(behind.topic, 0)])
    behind.consumer.seek(TopicPartition(behind.topic, 0, 1))

    limit, found = time.monotonic() + LIMIT_S, None
    while found is None:
        assert time.monotonic() < limit
        found = behind.watch.look(behind.consumer, {0: 1, 1: 0}, time.monotonic())

    assert found[0] == Place(1, 4)


@pytest.mark.broker
def test_nothing_is_asked_for_a_scorer_without_partitions(behind: Behind) -> None:
    assert behind.watch.look(behind.consumer, {}, 0) is None
    assert behind.watch.look(behind.consumer, {}, 100) is None


def test_without_a_broker_nothing_is_known_and_nobody_waits(offline_settings: Settings) -> None:
    consumer, watch = Consumer(consumer_config(offline_settings, "behind")), LagWatch(offline_settings, "events")
    started = time.monotonic()

    answers = [watch.look(consumer, {0: 0}, now) for now in range(100)]

    assert answers == [None] * 100
    assert time.monotonic() - started < 10  # one request alone may take 15 s
    consumer.close()
