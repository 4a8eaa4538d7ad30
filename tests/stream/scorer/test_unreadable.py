"""A batch that the client cannot unpack stops its readers with one line. Once it is skipped they go on, and the gap is noted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from aimaas.admission.journal import read_journal
from aimaas.admission.unreadable_batches import skip
from aimaas.errors import KafkaError
from aimaas.kafka import producer_config
from aimaas.settings import Settings
from tests.stream.conftest import LIMIT_S, Line, open_line
from upkeep.dead_letters.letters import read_letters
from upkeep.dead_letters.log import read_account

pytestmark = pytest.mark.broker
SMALL = {"fetch.max.bytes": "1000000", "receive.message.max.bytes": "1500000"}  # what unpacks to more is not read


@pytest.fixture
def narrow(settings: Settings, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Line]:
    """A fleet whose clients cannot unpack much."""
    narrowed = replace(settings, kafka={**settings.kafka, **SMALL})
    with open_line(narrowed, tmp_path, request.node.nodeid, quality={"refused_share": 1}) as made:
        yield made


def send_in_one_batch(line: Line, records: list[tuple[bytes, bytes]], partition: int) -> tuple[int, int]:
    """First and last offset of what is then one zstd batch."""
    places: list[int] = []
    config = producer_config(line.settings, compression_type="zstd", batch_size=10**8, linger_ms=500)
    producer = Producer({**config, "message.max.bytes": 10**8})

    def delivered(error: Any, message: Any) -> None:
        if error is None:
            places.append(message.offset())

    for key, value in records:
        producer.produce(line.names.events, value, key, partition, on_delivery=delivered)
    assert producer.flush(30) == 0
    assert max(places) - min(places) + 1 == len(records)
    return min(places), max(places)


def test_a_batch_that_cannot_be_read_stops_the_scorer_with_its_place_and_is_passed_over_once_it_was_skipped(
    narrow: Line,
) -> None:
    line = narrow
    line.champion()
    events = line.events(devices=2)
    half = len(events) // 2
    first, last = 0, -1
    sent = line.send(events[:half])
    first, last = send_in_one_batch(line, [(b"k", b"\0" * 60_000)] * 100, partition=0)
    line.send(events[half:])

    with pytest.raises(KafkaError) as stopped:
        line.score_until_it_fails()

    said = str(stopped.value)
    assert f"topic {line.names.events}, partition 0, offset {first}: the batch cannot be read" in said
    assert (
        f"aimaas topics skip --fleet {line.fleet.fleet} --topic {line.names.events} --partition 0 --offset {first}"
        in said
    )
    assert "\n" not in said

    gap = skip(line.settings, line.fleet, line.names.events, 0, first + 7, datetime.now(UTC))
    with pytest.raises(KafkaError, match="it can be read or does not exist"):
        skip(line.settings, line.fleet, line.names.events, 0, last + 1, datetime.now(UTC))

    assert (gap.partition, gap.first, gap.last) == (0, first, last)
    assert {g.by for g in read_journal(line.settings, line.fleet).gaps_of(line.names.events)} == {"scorer", "land"}
    line.score_all(predictions=len(events))
    assert len(line.scored()) == len(events)
    with line.scorer():  # restores from behind and before the gap
        pass
    assert read_letters(line.settings, line.fleet) == []
    assert len(read_account(line.settings, line.fleet, 0).predicted) == len(events)
    assert len(sent) == half


def test_a_skipped_batch_at_the_end_of_a_partition_holds_nobody_up(narrow: Line) -> None:
    line = narrow
    line.champion()
    _, last = send_in_one_batch(line, [(b"k", b"\0" * 60_000)] * 100, partition=1)
    skip(line.settings, line.fleet, line.names.events, 1, last, datetime.now(UTC))

    with line.scorer():
        until(lambda: line.group_offsets().get(1) == last + 1)

    assert line.scored() == {}


def until(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.1)
