"""A key falls where the real client puts it."""

from __future__ import annotations

import random

import pytest
from confluent_kafka import Producer

from aimaas.admission.partitioner import partition_of
from aimaas.kafka import create_topics, delete_topics, producer_config, read_all
from aimaas.settings import Settings
from aimaas.topics import TopicSpec


@pytest.mark.broker
def test_keys_of_every_length_fall_where_the_client_puts_them(settings: Settings) -> None:
    rng = random.Random(3)
    keys = {rng.randbytes(n) for n in range(1, 130)} | {f"e-{i}".encode() for i in range(100)} | {"gerät".encode()}
    topic = TopicSpec("placed", 7, 1, {})
    create_topics(settings, [topic])
    producer = Producer(producer_config(settings))
    for key in keys:
        producer.produce(topic.name, b"", key)
    assert producer.flush(30) == 0

    found = {r.key: r.partition for r in read_all(settings, topic.name)}

    delete_topics(settings, [topic.name])
    assert found == {key: partition_of(key, 7) for key in keys}
