"""Topics, offsets and reading to the end, on the real broker."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest
from confluent_kafka import Producer, TopicPartition

from aimaas.errors import KafkaError
from aimaas.kafka import (
    admin,
    check_broker,
    consumer_config,
    create_topics,
    delete_topics,
    end_offsets,
    producer_config,
    read_all,
    read_between,
)
from aimaas.kafka.writing import write_records
from aimaas.settings import Settings, read_settings
from aimaas.topics import TopicSpec


@pytest.fixture
def topic(settings: Settings) -> str:
    name = f"t-{uuid.uuid4().hex}"
    create_topics(settings, [TopicSpec(name, 2, 1, {"cleanup.policy": "delete"})])
    return name


def transaction(producer: Producer, topic: str, values: list[bytes], partition: int, commit: bool) -> None:
    producer.begin_transaction()
    for value in values:
        producer.produce(topic, value, key=b"k", partition=partition, headers={"h": value})
    producer.flush(30)
    if commit:
        producer.commit_transaction(30)
    else:
        producer.abort_transaction(30)


def test_librdkafka_settings_pass_through_and_extras_win() -> None:
    sasl = {"SECURITY_PROTOCOL": "SASL_SSL", "SASL_MECHANISM": "PLAIN", "SASL_USERNAME": "u", "SASL_PASSWORD": "p"}
    given = {f"AIMAAS_KAFKA_{name}": value for name, value in sasl.items()}
    settings = read_settings({**given, "AIMAAS_HOME": "nowhere", "AIMAAS_KAFKA_LINGER_MS": "7"})

    producer = producer_config(settings, transactional_id="scorer", acks="1")
    consumer = consumer_config(settings, "group", isolation_level="read_uncommitted")

    assert (producer["security.protocol"], producer["sasl.username"]) == ("SASL_SSL", "u")
    assert (producer["linger.ms"], producer["transactional.id"], producer["acks"]) == ("7", "scorer", "1")
    assert producer["partitioner"] == "murmur2_random"
    assert (consumer["group.id"], consumer["isolation.level"]) == ("group", "read_uncommitted")
    assert consumer["enable.auto.commit"] is False


def test_an_unreachable_broker_is_one_line_with_the_address_and_the_way_out(offline_settings: Settings) -> None:
    with pytest.raises(KafkaError, match=r"127\.0\.0\.1:1; start one with `aimaas up`") as raised:
        check_broker(offline_settings, timeout_s=0.5)
    assert "\n" not in str(raised.value)


@pytest.mark.broker
def test_creating_topics_twice_changes_nothing(settings: Settings) -> None:
    specs = [TopicSpec(f"t-{uuid.uuid4().hex}", 3, 1, {"retention.ms": "-1"}) for _ in range(2)]
    assert check_broker(settings) == 1

    assert create_topics(settings, specs) == [s.name for s in specs]
    assert create_topics(settings, specs) == []
    assert end_offsets(settings, specs[0].name) == {0: 0, 1: 0, 2: 0}


@pytest.mark.broker
def test_a_topic_that_differs_is_reported_with_what_differs_and_what_to_do(settings: Settings) -> None:
    spec = TopicSpec(f"t-{uuid.uuid4().hex}", 2, 1, {"retention.ms": "1000", "cleanup.policy": "delete"})
    create_topics(settings, [spec])

    with pytest.raises(KafkaError) as raised:
        create_topics(
            settings, [replace(spec, partitions=4, config={"retention.ms": "-1", "cleanup.policy": "compact"})]
        )

    lines = str(raised.value).splitlines()
    assert len(lines) == 2
    assert "has 2 partitions, the fleet file declares 4" in lines[0]
    assert "retention.ms=1000, declared is -1" in lines[1]
    assert "--add-config retention.ms=-1,cleanup.policy=compact`" in lines[1]


@pytest.mark.broker
def test_a_topic_of_an_earlier_release_gets_settings_that_lose_nothing(settings: Settings) -> None:
    name = f"t-{uuid.uuid4().hex}"
    old = {"cleanup.policy": "compact", "retention.ms": "604800000", "max.message.bytes": "1048576"}
    new = {"cleanup.policy": "delete", "retention.ms": "-1", "max.message.bytes": "2097152"}
    create_topics(settings, [TopicSpec(name, 1, 1, old)])

    assert create_topics(settings, [TopicSpec(name, 1, 1, new)]) == []

    with pytest.raises(KafkaError, match=r"has cleanup\.policy=delete, declared is compact, retention\.ms=-1, .*"):
        create_topics(settings, [TopicSpec(name, 1, 1, old)])
    create_topics(settings, [TopicSpec(name, 1, 1, new)])


@pytest.mark.broker
def test_a_topic_with_too_few_replicas_keeps_its_settings_and_takes_writes(settings: Settings) -> None:
    name = f"t-{uuid.uuid4().hex}"
    create_topics(settings, [TopicSpec(name, 2, 1, {})])

    with pytest.raises(
        KafkaError, match=rf"{name} has partitions with 1 of 3 replicas, .* set topics\.replication to 1"
    ):
        create_topics(settings, [TopicSpec(name, 2, 3, {"min.insync.replicas": "2"})])

    write_records(settings, name, [(b"k", b"x")], "write")


@pytest.mark.broker
def test_deleted_topics_are_gone_and_deleting_again_is_no_error(settings: Settings, topic: str) -> None:
    delete_topics(settings, [topic])
    delete_topics(settings, [topic])
    with pytest.raises(KafkaError, match="no such topic"):
        end_offsets(settings, topic)


@pytest.mark.broker
def test_reading_ends_behind_markers_aborted_records_and_empty_partitions(settings: Settings, topic: str) -> None:
    producer = Producer(producer_config(settings, transactional_id=topic))
    producer.init_transactions(30)
    transaction(producer, topic, [b"1", b"2"], 1, commit=True)
    transaction(producer, topic, [b"3"], 1, commit=False)

    records = read_all(settings, topic)

    assert [(r.partition, r.offset, r.key, r.value, r.headers) for r in records] == [
        (1, 0, b"k", b"1", {"h": b"1"}),
        (1, 1, b"k", b"2", {"h": b"2"}),
    ]
    assert [r.value for r in read_all(settings, topic, "read_uncommitted")] == [b"1", b"2", b"3"]
    assert end_offsets(settings, topic) == {0: 0, 1: 5}


@pytest.mark.broker
def test_an_open_transaction_is_not_waited_for(settings: Settings, topic: str) -> None:
    producer = Producer(producer_config(settings, transactional_id=topic))
    producer.init_transactions(30)
    transaction(producer, topic, [b"1"], 0, commit=True)
    producer.begin_transaction()
    producer.produce(topic, b"open", partition=0)
    producer.flush(30)

    assert [r.value for r in read_all(settings, topic)] == [b"1"]
    assert end_offsets(settings, topic, "read_uncommitted")[0] == end_offsets(settings, topic)[0] + 1
    producer.abort_transaction(30)


@pytest.mark.broker
def test_a_part_of_a_topic_is_read_by_offsets(settings: Settings, topic: str) -> None:
    producer = Producer(producer_config(settings))
    for i in range(10):
        producer.produce(topic, b"%d" % i, partition=0)
    assert producer.flush(30) == 0

    assert [r.value for r in read_between(settings, topic, {0: 3}, {0: 6})] == [b"3", b"4", b"5"]


@pytest.mark.broker
def test_a_batch_that_unpacks_to_a_thousand_times_its_size_is_read(settings: Settings, topic: str) -> None:
    one_batch = {"batch_size": 2**31 - 1, "message_max_bytes": 10**9, "linger_ms": 3_000}
    producer = Producer(producer_config(settings, compression_type="zstd", **one_batch))
    for _ in range(2_200):
        producer.produce(topic, b"0," * 30_000, partition=0)
    assert producer.flush(60) == 0

    records = read_all(settings, topic)

    assert len(records) == 2_200
    assert sum(len(r.value or b"") for r in records) == 132_000_000


@pytest.mark.broker
def test_offsets_that_the_log_does_not_hold_are_an_error_and_never_others_in_their_place(
    settings: Settings, topic: str
) -> None:
    producer = Producer(producer_config(settings))
    for i in range(10):
        producer.produce(topic, b"%d" % i, partition=0)
    assert producer.flush(30) == 0
    client = admin(settings)
    for done in client.delete_records([TopicPartition(topic, 0, 5)]).values():
        done.result(30)

    with pytest.raises(KafkaError, match="no longer has the requested offsets"):
        read_between(settings, topic, {0: 3}, {0: 8})
    assert [r.offset for r in read_all(settings, topic)] == [5, 6, 7, 8, 9]


def test_no_setting_of_the_environment_brings_a_reset_back() -> None:
    settings = read_settings({"AIMAAS_HOME": "nowhere", "AIMAAS_KAFKA_AUTO_OFFSET_RESET": "latest"})
    assert consumer_config(settings, "group")["auto.offset.reset"] == "error"
