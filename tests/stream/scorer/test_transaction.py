"""Transactions against a real broker, where another producer of the same id takes over."""

from __future__ import annotations

import random
import time

import pytest
from confluent_kafka import Consumer

from aimaas.errors import KafkaError
from aimaas.kafka import consumer_config
from stream.scorer.output.progress import Progress, TransactionAbortedError
from stream.scorer.output.transaction import Transactions
from tests.stream.conftest import Line

pytestmark = pytest.mark.broker


def test_who_was_put_out_in_a_commit_is_told_at_once_and_has_nothing_to_take_back(line: Line) -> None:
    given = (line.settings, f"aimaas-{line.fleet.fleet}-0", 10_000, 1_000_000)
    first = Transactions(*given)
    first.begin()
    Transactions(*given)
    first.produce(line.names.predictions, 0, [(b"a", b"{}", None)])
    group = Consumer(consumer_config(line.settings, "reads-nothing")).consumer_group_metadata()
    none_read = Progress(line.names.events, {}, line.names.state, [], group)

    began = time.monotonic()
    with pytest.raises(KafkaError, match="took over the transactional id"):
        first.commit(none_read)
    first.abort()

    assert time.monotonic() - began < 20  # an abort that the client does not take would be tried for a minute
    assert line.predictions() == []


def test_whichever_call_finds_the_transaction_ended_says_what_ended_it(line: Line) -> None:
    transactions = Transactions(line.settings, f"aimaas-{line.fleet.fleet}-0", 30_000, 10_000_000)
    transactions.begin()
    transactions.produce(line.names.predictions, 0, [(b"a", random.Random(1).randbytes(5_000_000), None)])
    limit = time.monotonic() + 20

    with pytest.raises(TransactionAbortedError, match=r"write to .*too large"):
        while time.monotonic() < limit:  # until the broker has refused the large one
            transactions._producer.poll(0.01)
            transactions.produce(line.names.predictions, 0, [(b"a", b"{}", None)])

    transactions.begin()  # and goes on
    transactions.abort()
