"""Transactions against a real broker, where another producer of the same id takes over."""

from __future__ import annotations

import time
from typing import Any

import pytest
from confluent_kafka import Consumer

from aimaas.errors import KafkaError
from aimaas.kafka import consumer_config
from stream.scorer.outbox import Progress
from stream.scorer.transaction import Transactions

pytestmark = pytest.mark.broker


def test_who_was_put_out_in_a_commit_is_told_at_once_and_has_nothing_to_take_back(line: Any) -> None:
    given = (line.settings, f"aimaas-{line.fleet.fleet}-0", 10_000, 1_000_000)
    first = Transactions(*given)
    first.begin()
    Transactions(*given)
    first.produce(line.names.predictions, 0, [(b"a", b"{}", None)])
    group = Consumer(consumer_config(line.settings, "reads-nothing")).consumer_group_metadata()
    none_read = Progress(line.names.events, {}, line.names.state, [], group)

    began = time.monotonic()
    with pytest.raises(KafkaError, match="another scorer took over the transactional id"):
        first.commit(none_read)
    first.abort()

    assert time.monotonic() - began < 20  # an abort that the client does not take would be tried for a minute
    assert line.predictions() == []
