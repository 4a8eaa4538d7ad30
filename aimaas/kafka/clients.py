"""Kafka clients made from the settings, and the few things that several stages do with topics.

Whatever `AIMAAS_KAFKA_…` names (brokers, SASL, TLS, tuning) reaches every client. Keyed records are partitioned by
`murmur2_random`, so that producers in any language put a device into the same partition. What goes wrong becomes a `KafkaError`
of one line, a setting that librdkafka does not take a `SettingsError`.
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
from aimaas.kafka.failures import kafka_errors as kafka_errors  # noqa: PLC0414 - callers take it from here
from aimaas.kafka.outage import Quiet, outage_of
from aimaas.kafka.rights import Right, in_group, on_topic
from aimaas.settings import Settings
from aimaas.topics import READER_GROUP, TopicSpec, keeps_all

Isolation = Literal["read_committed", "read_uncommitted"]
Offsets = dict[int, int]  # partition -> offset

ANSWER_LIMIT_S = 15.0  # for one request to the cluster
CONNECT_LIMIT_S = 10.0  # for a cluster to let this process in: a broker may be restarting
READ_LIMIT_S = 120.0  # without any progress
# The client unpacks a zstd batch into buffers of threefold growing size, none larger than this. With its default of 100 MB some
# batches of more than 33 MB are never read; with the largest value a batch of 1 GB is, and takes as much memory meanwhile.
_LARGEST_UNPACKED = 2**31 - 1
_POLL_S = 0.05
_MOVING = {
    ClientError.NOT_LEADER_FOR_PARTITION,
    ClientError.LEADER_NOT_AVAILABLE,
    ClientError.FENCED_LEADER_EPOCH,
    ClientError.UNKNOWN_LEADER_EPOCH,  # a topic made anew under its old name, or a killed leader that is just back
    ClientError.OFFSET_NOT_AVAILABLE,
}


_log = logging.getLogger("kafka")
_log.addHandler(logging.NullHandler())  # errors reach the caller; the client's own chatter only who asks for it
_log.addFilter(Quiet())
_answered: set[frozenset[tuple[str, str]]] = set()  # settings under which the cluster has answered this process


@dataclass(frozen=True, slots=True)
class Record:
    """One record as it stands in a topic. `timestamp_ms` is since 1970, by the topic's clock (the broker's for events)."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes]


def producer_config(settings: Settings, **extra: Any) -> dict[str, Any]:
    """librdkafka settings of a producer: idempotent, acknowledged by all replicas, lz4. `extra` has `_` for `.` and wins."""
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
    """librdkafka settings of a consumer that commits by itself nothing and reads what is committed.

    An offset that the log does not hold is an error, whatever the environment says: nobody is set back or forward in silence.
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

    Raises KafkaError with the cause where the cluster does not let this process in, as the first client of a process finds out;
    with `connected=False` it is made at once, whether the cluster answers or not, and must be polled.
    """
    config = _common(settings)
    if connected:
        connect(settings)
    return AdminClient(config)


def connect(settings: Settings, timeout_s: float = CONNECT_LIMIT_S) -> None:
    """Raise KafkaError with the cause unless the cluster answers within `timeout_s`; a cause that lasts is told at once.

    A cluster that has answered this process is not asked again.
    """
    key = frozenset(settings.kafka.items())
    if key not in _answered:
        cause = why_unreachable(settings.kafka, timeout_s)
        if cause is not None:
            raise unreachable(settings, "connect to Kafka", cause)
        _answered.add(key)


def _common(settings: Settings) -> dict[str, Any]:
    """What all clients share: back soon after a broker is; the client's own log goes to Python's logger `kafka`."""
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
    """Number of brokers of the cluster. Raises KafkaError where none answers within `timeout_s`."""
    connect(settings, timeout_s)
    with kafka_errors(settings, "connect to Kafka"):
        return len(admin(settings).list_topics(timeout=timeout_s).brokers)


def partition_counts(settings: Settings, names: Iterable[str], *rights: Right) -> dict[str, int]:
    """How many partitions each topic has. Raises KafkaError where one is not there, or must not be used: with its `rights`."""
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
    """Create the topics that are missing and return their names; ready to use when this returns.

    A topic that exists gets settings that differ where it keeps all that it keeps now: earlier releases declared others. Raises
    KafkaError with a line for each whose partitions differ, or whose settings would drop records; then nothing is changed.
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
    """One line for each way in which a topic is not as declared and stays so; topic -> settings that may simply be changed."""
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
        has = {n: e.value for n, e in found[spec.name].items() if n in spec.config}
        other = {n: spec.config[n] for n in spec.config if n in has and has[n] != spec.config[n]}
        if other and keeps_all(has, spec.config):
            changes[spec.name] = other
        elif other:
            # one command for all: a topic that is compacted no more must not lose what is older than a week meanwhile
            now = ", ".join(f"{name}={has[name]}, declared is {other[name]}" for name in other)
            change = ",".join(f"{name}={value}" for name, value in other.items())
            lines.append(
                f"topic {spec.name} has {now}: change it with "
                f"`kafka-configs --alter --topic {spec.name} --add-config {change}`, or correct the fleet file"
            )
    return lines, changes


def _change(settings: Settings, client: Any, changes: Mapping[str, Mapping[str, str]]) -> None:
    """Set settings of topics that exist."""
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
    """Delete topics with all that is in them; those that do not exist are passed over."""
    client, wanted = admin(settings), list(names)
    with kafka_errors(settings, "delete topics"):
        gone = client.delete_topics(wanted, request_timeout=ANSWER_LIMIT_S) if wanted else {}
        _finish(settings, "Delete", gone, "UNKNOWN_TOPIC_OR_PART")
        _await(
            lambda: not set(wanted) & set(client.list_topics(timeout=ANSWER_LIMIT_S).topics),
            f"delete topics at {settings.bootstrap_servers}",
        )


def _finish(settings: Settings, operation: str, futures: Mapping[str, Any], harmless: str) -> None:
    """Wait until `operation` is done with each topic; an error named `harmless` says that it was done before."""
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
    """Offset after the last record of each partition: of the last stable one, or with `read_uncommitted` of all.

    `operation` is what the caller wants of the topic, which a refusal names: Read and Write both imply what is asked here.
    """
    client = admin(settings)
    with kafka_errors(settings, f"read the end of {topic}", on_topic(operation, topic)):
        return _list_offsets(client, topic, OffsetSpec.latest(), isolation)


def begin_offsets(settings: Settings, topic: str) -> Offsets:
    """Offset of the oldest record that each partition still has."""
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
        except KafkaException as e:  # a new topic, or a broker that has just come back
            if e.args[0].code() not in _MOVING or time.monotonic() > limit:
                raise
        time.sleep(_POLL_S)


def read_all(settings: Settings, topic: str, isolation: Isolation = "read_committed") -> list[Record]:
    """All records that the topic holds now, by partition and offset. Fits in memory or this is the wrong function."""
    return read_between(
        settings, topic, begin_offsets(settings, topic), end_offsets(settings, topic, isolation), isolation
    )


def read_between(
    settings: Settings, topic: str, begin: Offsets, end: Offsets, isolation: Isolation = "read_committed"
) -> list[Record]:
    """Records from `begin` on and before `end`, by partition and offset. Raises KafkaError as `delivered_between` does."""
    records = [
        record_of(message)
        for part in delivered_between(settings, topic, begin, end, isolation)
        for message in part.messages
    ]
    return sorted(records, key=lambda r: (r.partition, r.offset))


@dataclass
class Delivered:
    """Messages as they came, and the offset after what was read of each partition that got on."""

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
    """What stands from `begin` on and before `end`, in parts of `most` messages; a partition that `begin` lacks starts at 0.

    Transaction markers and aborted records take offsets but are not delivered: a partition is done when the consumer stands
    at `end`, which the client says by an end-of-partition event, however many records that made. Raises KafkaError after 120 s
    without progress.
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
                fetch_wait_max_ms=20,  # the end shows in an answer without records, which the broker holds back so long
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
    """The delivered messages before `end`; finished partitions go out of `pending`. Raises KafkaException."""
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
    """A delivered message as a plain value."""
    return Record(
        message.topic(), message.partition(), message.offset(), message.timestamp()[1],
        message.key(), message.value(), headers_of(message),
    )  # fmt: skip


def headers_of(message: Any) -> dict[str, bytes]:
    """Headers of a message, the last of a name that comes twice, b"" for no content. Empty where a name is not UTF-8."""
    try:
        return {name: value or b"" for name, value in message.headers() or ()}
    except UnicodeDecodeError:  # anyone may name a header by any bytes
        return {}
