"""What a broker answers to a client that writes or reads one topic. The settings are those of librdkafka."""

from __future__ import annotations

import time
from collections.abc import Mapping

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

_LIMIT_S = 60.0


def refused_write(settings: Mapping[str, str], topic: str) -> bool:
    """Write a record; whether the ACLs refused it. Raises AssertionError if it failed for another cause."""
    told: list[KafkaError | None] = []
    producer = Producer({**settings})
    producer.produce(topic, b"{}", b"device", on_delivery=lambda error, _: told.append(error))
    assert producer.flush(_LIMIT_S) == 0, f"{topic}: no answer"
    return _refused(told[0])


def refused_read(settings: Mapping[str, str], topic: str) -> bool:
    """Read partition 0 from its beginning; whether the ACLs refused it. Raises AssertionError if it failed for another cause.

    A client that commits nothing reads without its group: only what the ACLs say of the topic counts.
    """
    consumer = Consumer({**settings, "group.id": "attempts", "enable.auto.commit": False, "enable.partition.eof": True})
    try:
        # who may not Describe a topic, may not Read it, and gets no error from a consumer
        if _refused(consumer.list_topics(topic, timeout=_LIMIT_S).topics[topic].error):
            return True
        consumer.assign([TopicPartition(topic, 0, 0)])
        return _refused(_first_answer(consumer, topic))
    finally:
        consumer.close()


def _first_answer(consumer: Consumer, topic: str) -> KafkaError | None:
    """The error of the topic; None for a record, or for the end of an empty partition."""
    limit = time.monotonic() + _LIMIT_S
    while time.monotonic() < limit:
        message = consumer.poll(1.0)
        error = message and message.error()
        if message is None or (error and error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED):
            continue
        return None if error is None or error.code() == KafkaError._PARTITION_EOF else error
    raise AssertionError(f"{topic}: no answer")


def _refused(error: KafkaError | None) -> bool:
    assert error is None or error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED, error
    return error is not None
