"""Kafka clients made from the settings, and the operations on topics that several stages need.

All `AIMAAS_KAFKA_…` settings (brokers, SASL, TLS, tuning) reach every client. Keyed records are partitioned by `murmur2_random`,
so that producers in any language put a device into the same partition. An error becomes a `KafkaError` of one line, a setting
that librdkafka refuses becomes a `SettingsError`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from confluent_kafka import Consumer, IsolationLevel, KafkaException, TopicPartition
from confluent_kafka import KafkaError as ClientError
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, OffsetSpec

from aimaas.errors import KafkaError
from aimaas.kafka.connection import check_settings, why_unreachable
from aimaas.kafka.failures import UNREACHABLE, unreachable
from aimaas.kafka.failures import kafka_errors as kafka_errors  # noqa: PLC0414 - callers import it from here
from aimaas.kafka.outage import Quiet, outage_of
from aimaas.kafka.rights import Right, in_group, on_topic
from aimaas.kafka.tools import config_command, tool_command
from aimaas.settings import Settings
from aimaas.topics import READER_GROUP, TopicSpec, keeps_all

Isolation = Literal["read_committed", "read_uncommitted"]
Offsets = dict[int, int]  # partition -> offset

ANSWER_LIMIT_S = 15.0  # for one request to the cluster
CONNECT_LIMIT_S = 10.0  # for the first connection: a broker may be restarting
READ_LIMIT_S = 120.0  # without any progress
# The client unpacks a zstd batch into buffers, each three times as large as the one before, up to this size. With its default of
# 100 MB it never reads some batches of more than 33 MB. With the largest value it reads a batch of 1 GB, which takes as much
# memory.
_LARGEST_UNPACKED = 2**31 - 1
_POLL_S = 0.05
_MOVING = {
    ClientError.NOT_LEADER_FOR_PARTITION,
    ClientError.LEADER_NOT_AVAILABLE,
    ClientError.FENCED_LEADER_EPOCH,
    ClientError.UNKNOWN_LEADER_EPOCH,  # a topic that was created again, or a killed leader that is just back
    ClientError.OFFSET_NOT_AVAILABLE,
}


_log = logging.getLogger("kafka")
_log.addHandler(logging.NullHandler())  # the caller gets errors; the client's log lines need a handler
_log.addFilter(Quiet())
_answered: set[frozenset[tuple[str, str]]] = set()  # settings with which the cluster has answered this process


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a topic. `timestamp_ms` is since 1970, by the topic's clock (the broker's for events)."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes]


def producer_config(settings: Settings, **extra: Any) -> dict[str, Any]:
    """librdkafka settings of a producer: idempotent, acknowledged by all replicas, lz4.

    `extra` has `_` for `.` and takes precedence.
    """
    return {
        "enable.idempotence": True,
        "acks": "all",
        "compression.type": "lz4",
        "linger.ms": 5,
        "partitioner": "murmur2_random",
        **_common(settings),
        **_dotted(extra),
    }


def consumer_config(settings: Settings, group: str, **extra: Any) -> dict[str, Any]:
    """librdkafka settings of a consumer that reads committed records and never commits by itself.

    An offset that the log does not hold is an error, whatever the environment says, so no consumer is reset silently.
    """
    return {
        "group.id": group,
        "enable.auto.commit": False,
        "isolation.level": "read_committed",
        "partition.assignment.strategy": "cooperative-sticky",
        "receive.message.max.bytes": _LARGEST_UNPACKED,
        **_common(settings),
        "auto.offset.reset": "error",
        **_dotted(extra),
    }


def admin(settings: Settings, connected: bool = True) -> AdminClient:
    """A client for topics and offsets. Keep it in a variable while its futures are awaited, or they fail.

    The first client of a process connects, and raises KafkaError with the cause if that fails. With `connected=False` the client
    is created without a connection and must be polled.
    """
    config = _common(settings)
    if connected:
        connect(settings)
    return AdminClient(config)


def connect(settings: Settings, timeout_s: float = CONNECT_LIMIT_S) -> None:
    """Raise KafkaError with the cause unless the cluster answers within `timeout_s`. A lasting cause is raised at once.

    A cluster that has answered this process is not asked again.
    """
    key = frozenset(settings.kafka.items())
    if key not in _answered:
        cause = why_unreachable(settings.kafka, timeout_s)
        if cause is not None:
            raise unreachable(settings, "connect to Kafka", cause)
        _answered.add(key)


def _common(settings: Settings) -> dict[str, Any]:
    """Settings of all clients: quick reconnection, and the client's log in Python's logger `kafka`."""
    check_settings(frozenset(settings.kafka.items()))
    return {
        "logger": _log,
        "error_cb": outage_of(settings).told,
        "log.connection.close": False,
        "reconnect.backoff.max.ms": 1_000,
        **settings.kafka,
    }


def _dotted(extra: Mapping[str, Any]) -> dict[str, Any]:
    return {name.replace("_", "."): value for name, value in extra.items()}


def check_broker(settings: Settings, timeout_s: float = ANSWER_LIMIT_S) -> int:
    """Number of brokers of the cluster. Raises KafkaError if none answers within `timeout_s`."""
    connect(settings, timeout_s)
    with kafka_errors(settings, "connect to Kafka"):
        return len(admin(settings).list_topics(timeout=timeout_s).brokers)


def partition_counts(settings: Settings, names: Iterable[str], *rights: Right) -> dict[str, int]:
    """Number of partitions of each topic. Raises KafkaError if a topic does not exist, or if the ACLs lack one of its `rights`."""
    client, counts = admin(settings), {}
    with kafka_errors(settings, "list the topics"):
        known = client.list_topics(timeout=ANSWER_LIMIT_S).topics
    for name in names:
        with kafka_errors(settings, f"look for {name}", *(r for r in rights if r.name == name)):
            found = known[name] if name in known else client.list_topics(name, timeout=ANSWER_LIMIT_S).topics[name]
            if found.error is not None:
                raise KafkaException(found.error)
            counts[name] = len(found.partitions)
    return counts


def create_topics(settings: Settings, specs: Sequence[TopicSpec]) -> list[str]:
    """Create the missing topics and return their names. They are ready to use when this returns.

    An existing topic gets the declared settings if it then loses no records, because earlier releases declared other settings.
    Raises KafkaError with a line for each topic whose partitions differ, or whose new settings would drop records; then nothing
    is changed.
    """
    client = admin(settings)
    with kafka_errors(settings, "create topics"):
        known = client.list_topics(timeout=ANSWER_LIMIT_S).topics
        new = [spec for spec in specs if spec.name not in known]
        wrong, changes = _differences(settings, client, known, [spec for spec in specs if spec.name in known])
        if wrong:
            raise KafkaError("\n".join(wrong))
        _change(settings, client, changes)
        wanted = [NewTopic(s.name, s.partitions, s.replication, config=dict(s.config)) for s in new]
        made = client.create_topics(wanted, request_timeout=ANSWER_LIMIT_S) if wanted else {}
        _finish(settings, "Create", made, "TOPIC_ALREADY_EXISTS")
        _await(lambda: _all_led(client, new), f"create topics at {settings.bootstrap_servers}")
    return [spec.name for spec in new]


def _all_led(client: Any, specs: Sequence[TopicSpec]) -> bool:
    topics = client.list_topics(timeout=ANSWER_LIMIT_S).topics
    return all(
        s.name in topics
        and len(topics[s.name].partitions) >= s.partitions
        and all(p.leader >= 0 for p in topics[s.name].partitions.values())
        for s in specs
    )


def _differences(
    settings: Settings, client: Any, known: Mapping[str, Any], specs: Sequence[TopicSpec]
) -> tuple[list[str], dict[str, dict[str, str]]]:
    """A line for each difference from the declared topics that must stay, and by topic the settings that may be changed."""
    if not specs:
        return [], {}
    resources = {s.name: ConfigResource(ConfigResource.Type.TOPIC, s.name) for s in specs}
    answers = client.describe_configs(list(resources.values()), request_timeout=ANSWER_LIMIT_S)
    found = {resource.name: _configs(settings, resource.name, future) for resource, future in answers.items()}
    lines, changes = [], {}
    for spec in specs:
        partitions = len(known[spec.name].partitions)
        if partitions != spec.partitions:
            lines.append(
                f"topic {spec.name} has {partitions} partitions, the fleet file declares {spec.partitions}: set "
                "topics.partitions to the number of the topic; `aimaas topics grow` adds partitions to the fleet's topics"
            )
        fewest, in_sync = _fewest_replicas(known[spec.name]), int(spec.config.get("min.insync.replicas", 1))
        if fewest < in_sync:  # with that setting Kafka would refuse all writes
            reassign = tool_command(
                settings.kafka, "kafka-reassign-partitions", "--reassignment-json-file replicas.json --execute"
            )
            lines.append(
                f"topic {spec.name} has partitions with {fewest} of {spec.replication} replicas, and {in_sync} must have each "
                f"record: list more replicas in replicas.json and run `{reassign}`, or set topics.replication to {fewest}"
            )
            continue
        has = {n: e.value for n, e in found[spec.name].items() if n in spec.config}
        other = {n: spec.config[n] for n in spec.config if n in has and has[n] != spec.config[n]}
        if other and keeps_all(has, spec.config):
            changes[spec.name] = other
        elif other:
            # one command for all settings: a topic that is no longer compacted must not lose records older than a week in between
            now = ", ".join(f"{name}={has[name]}, declared is {other[name]}" for name in other)
            lines.append(
                f"topic {spec.name} has {now}: change it with `{config_command(settings.kafka, spec.name, other)}`, or correct the "
                "fleet file"
            )
    return lines, changes


def _fewest_replicas(topic: Any) -> int:
    return min((len(p.replicas) for p in topic.partitions.values()), default=0)


def _change(settings: Settings, client: Any, changes: Mapping[str, Mapping[str, str]]) -> None:
    """Set settings of existing topics."""
    wanted = [
        ConfigResource(
            ConfigResource.Type.TOPIC, name,
            incremental_configs=[
                ConfigEntry(n, v, incremental_operation=AlterConfigOpType.SET) for n, v in change.items()
            ],
        )
        for name, change in changes.items()
    ]  # fmt: skip
    done = client.incremental_alter_configs(wanted, request_timeout=ANSWER_LIMIT_S) if wanted else {}
    _finish(settings, "AlterConfigs", {resource.name: future for resource, future in done.items()}, "")


def _configs(settings: Settings, topic: str, answer: Any) -> Any:
    with kafka_errors(settings, f"look at the settings of {topic}", on_topic("DescribeConfigs", topic)):
        return answer.result(ANSWER_LIMIT_S)


def delete_topics(settings: Settings, names: Iterable[str]) -> None:
    """Delete topics and their records. Topics that do not exist are skipped."""
    client, wanted = admin(settings), list(names)
    with kafka_errors(settings, "delete topics"):
        gone = client.delete_topics(wanted, request_timeout=ANSWER_LIMIT_S) if wanted else {}
        _finish(settings, "Delete", gone, "UNKNOWN_TOPIC_OR_PART")
        _await(
            lambda: not set(wanted) & set(client.list_topics(timeout=ANSWER_LIMIT_S).topics),
            f"delete topics at {settings.bootstrap_servers}",
        )


def _finish(settings: Settings, operation: str, futures: Mapping[str, Any], harmless: str) -> None:
    """Wait until `operation` is done for each topic. The error named `harmless` means that it was done before."""
    for name, future in futures.items():
        with kafka_errors(settings, f"{operation.lower()} topic {name}", on_topic(operation, name)):
            try:
                future.result(ANSWER_LIMIT_S)
            except KafkaException as e:
                if e.args[0].name() != harmless:
                    raise


def _await(condition: Any, doing: str) -> None:
    limit = time.monotonic() + ANSWER_LIMIT_S
    while not condition():
        if time.monotonic() > limit:
            raise KafkaError(f"{doing}: not done within {ANSWER_LIMIT_S:g} s; look into the broker's log")
        time.sleep(_POLL_S)


def end_offsets(
    settings: Settings, topic: str, isolation: Isolation = "read_committed", operation: str = "Read"
) -> Offsets:
    """Offset after the last record of each partition: the last stable offset, or with `read_uncommitted` the end of the log.

    `operation` is the right that an error names if the ACLs refuse: Read and Write both imply the right that this call needs.
    """
    client = admin(settings)
    with kafka_errors(settings, f"read the end of {topic}", on_topic(operation, topic)):
        return _list_offsets(client, topic, OffsetSpec.latest(), isolation)


def begin_offsets(settings: Settings, topic: str) -> Offsets:
    """Offset of the oldest record in each partition."""
    client = admin(settings)
    with kafka_errors(settings, f"read the beginning of {topic}", on_topic("Read", topic)):
        return _list_offsets(client, topic, OffsetSpec.earliest(), "read_uncommitted")


def _list_offsets(client: Any, topic: str, which: Any, isolation: Isolation) -> Offsets:
    found = client.list_topics(topic, timeout=ANSWER_LIMIT_S).topics[topic]
    if found.error is not None:
        raise KafkaException(found.error)
    asked = {TopicPartition(topic, p): which for p in sorted(found.partitions)}
    limit = time.monotonic() + ANSWER_LIMIT_S
    while True:
        futures = client.list_offsets(
            asked, isolation_level=IsolationLevel[isolation.upper()], request_timeout=ANSWER_LIMIT_S
        )
        try:
            return {tp.partition: future.result(ANSWER_LIMIT_S).offset for tp, future in futures.items()}
        except KafkaException as e:  # a new topic, or a broker that is just back
            if e.args[0].code() not in _MOVING or time.monotonic() > limit:
                raise
        time.sleep(_POLL_S)


def read_all(settings: Settings, topic: str, isolation: Isolation = "read_committed") -> list[Record]:
    """Read all records of a topic, by partition and offset. They must fit in memory."""
    return read_between(
        settings, topic, begin_offsets(settings, topic), end_offsets(settings, topic, isolation), isolation
    )


def read_between(
    settings: Settings, topic: str, begin: Offsets, end: Offsets, isolation: Isolation = "read_committed"
) -> list[Record]:
    """Read the records in [begin, end), by partition and offset. Raises KafkaError as `delivered_between` does."""
    records = [
        record_of(message)
        for part in delivered_between(settings, topic, begin, end, isolation)
        for message in part.messages
    ]
    return sorted(records, key=lambda r: (r.partition, r.offset))


@dataclass
class Delivered:
    """Messages in the order of delivery, and the new position of each partition that advanced."""

    messages: list[Any] = field(default_factory=list)
    positions: Offsets = field(default_factory=dict)


def delivered_between(
    settings: Settings,
    topic: str,
    begin: Offsets,
    end: Offsets,
    isolation: Isolation = "read_committed",
    most: int = 10_000,
) -> Iterator[Delivered]:
    """Yield the messages in [begin, end), in parts of at most `most`; a partition that is not in `begin` starts at 0.

    Transaction markers and aborted records have offsets but are not delivered, so the number of records does not show the end of
    a partition. A partition is done when the consumer's position is at `end`, which an end-of-partition event reports. Raises
    KafkaError after 120 s without progress.
    """
    pending = {p: e for p, e in end.items() if e > begin.get(p, 0)}
    starts = [TopicPartition(topic, p, begin.get(p, 0)) for p in pending]
    with kafka_errors(settings, f"read {topic}", on_topic("Read", topic), in_group(READER_GROUP)):
        consumer = Consumer(
            consumer_config(
                settings,
                READER_GROUP,
                isolation_level=isolation,
                enable_partition_eof=True,
                fetch_wait_max_ms=20,  # the end shows in an empty answer, which the broker delays by this time
            )
        )
        try:
            consumer.assign(starts)
            limit = time.monotonic() + READ_LIMIT_S
            while pending:
                part = _taken(consumer.consume(most, timeout=_POLL_S), pending, end)
                limit = time.monotonic() + READ_LIMIT_S if part.positions else limit
                outage_of(settings).raise_if_lasting(f"read {topic}")
                if time.monotonic() > limit:
                    raise KafkaError(f"read {topic}: nothing came for {READ_LIMIT_S:g} s; look into the broker's log")
                if part.positions:
                    yield part
        finally:
            consumer.close()


def _taken(messages: Sequence[Any], pending: Offsets, end: Offsets) -> Delivered:
    """Return the delivered messages before `end`, and remove finished partitions from `pending`. Raises KafkaException."""
    part = Delivered()
    for message in messages:
        error, partition, offset = message.error(), message.partition(), message.offset()
        if error is None and offset < end[partition]:
            part.messages.append(message)
        elif error is not None and error.code() != ClientError._PARTITION_EOF:
            if error.fatal() or (not error.retriable() and error.code() not in UNREACHABLE):
                raise KafkaException(error)
            continue
        part.positions[partition] = min(offset + (error is None), end[partition])
        if part.positions[partition] == end[partition]:
            pending.pop(partition, None)
    return part


def record_of(message: Any) -> Record:
    """Convert a delivered message to plain data."""
    return Record(
        message.topic(), message.partition(), message.offset(), message.timestamp()[1],
        message.key(), message.value(), headers_of(message),
    )  # fmt: skip


def headers_of(message: Any) -> dict[str, bytes]:
    """Headers of a message: the last one of a repeated name, b"" for no content. Empty if a name is not UTF-8."""
    try:
        return {name: value or b"" for name, value in message.headers() or ()}
    except UnicodeDecodeError:  # a producer may use any bytes as a header's name
        return {}
