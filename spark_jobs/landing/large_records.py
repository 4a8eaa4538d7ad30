"""Records that fit into their topic only compressed. An unpacked one may have a gigabyte, which the JVM of a landing cannot hold.

A landing first looks through the new records with the C client, and notes the partitions that hold such records. Spark's own source
reads all other partitions. The C client reads the noted partitions in Spark's Python workers, outside of the JVM. Of a large record
bronze gets the first bytes, with size and digest of the whole. A batch that even the C client cannot unpack stops the landing, and
the error names its offset, until `aimaas topics skip` notes it as a gap.
"""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka import KafkaError as ClientError

from aimaas.admission.unreadable_batches import Skipped, is_unreadable
from aimaas.errors import KafkaError
from aimaas.fleet import FleetSpec
from aimaas.kafka import READ_LIMIT_S, consumer_config, kafka_errors
from aimaas.lake import Offsets
from aimaas.settings import Settings
from aimaas.topics import largest_record, topic_of
from spark_jobs.schemas import arrow_schema, ddl

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import Column, DataFrame, SparkSession

At = tuple[str, int]  # label of a topic, partition

CUT_COLUMNS = {
    "value_bytes": "bigint",
    "value_sha256": "string",
}  # of the whole value, if bronze has a part of it; else null
_COLUMNS = {
    "topic": "string", "partition": "int", "offset": "bigint", "broker_ts": "timestamp", "key": "binary", "value": "binary",
    "headers": "array<struct<key:string,value:binary>>", **CUT_COLUMNS,
}  # fmt: skip
_KEY_BYTES = 1_024  # of a large record, as in dead letters; no device id is longer
_HEADERS_NOTE = "aimaas.truncated.headers"
_POLLED_BYTES = 32 << 20  # Spark's source unpacks this much at once if all records are as large as the largest
_POLL_S = 0.1
_ROWS, _ROW_BYTES = 1_000, 8 << 20  # of one batch for Spark


@dataclass
class Scan:
    """The result of a scan before Spark reads: the partitions that hold `large` records, gaps, and the largest other record.

    `skipped` holds the first offset, and the offset after the last, of batches that the journal lists as skipped.
    """

    large: set[At] = field(default_factory=set)
    skipped: dict[At, tuple[int, int]] = field(default_factory=dict)
    largest: int = 1

    @property
    def polled_records(self) -> int:
        """The number of records that Spark's source may unpack at once."""
        return min(max(_POLLED_BYTES // self.largest, 1), 500)


def scan(settings: Settings, fleet: FleetSpec, start: Offsets, end: Offsets) -> Scan:
    """Look through the records from `start` up to `end`. Raises KafkaError, also if a batch cannot be read."""
    found, limit = Scan(), largest_record(fleet)

    def skipped(at: At, first: int, behind: int) -> None:
        found.large.add(at)
        found.skipped[at] = (first, behind)

    for at, messages in read_records(settings, fleet, start, end, skipped):
        sizes = [_size(m) for m in messages]
        if max(sizes) > limit:
            found.large.add(at)
        found.largest = max(found.largest, *(size for size in sizes if size <= limit), 1)
    return found


def read_records(
    settings: Settings,
    fleet: FleetSpec,
    start: Offsets,
    end: Offsets,
    skipped: Callable[[At, int, int], None] = lambda *_: None,
) -> Iterator[tuple[At, list[Any]]]:
    """Yield the messages from `start` up to `end`, some of one partition at a time, in order. Raises KafkaError.

    Little is fetched ahead: the client unpacks all that it fetched, and each packed batch may become a gigabyte.
    """
    labels = {(topic_of(label), p): (label, p) for label, p in end}
    pending = {at: stop for at, stop in end.items() if stop > start.get(at, 0)}
    with kafka_errors(settings, "read the records to land"):
        consumer = Consumer(
            consumer_config(
                settings,
                "aimaas-reader",
                enable_partition_eof=True,
                fetch_wait_max_ms=20,
                max_partition_fetch_bytes=65_536,
                queued_max_messages_kbytes=16_384,
            )
        )
        try:
            consumer.assign([TopicPartition(topic_of(label), p, start.get((label, p), 0)) for label, p in pending])
            yield from _read(consumer, labels, pending, Skipped(settings, fleet), skipped)
        finally:
            consumer.close()


def _read(
    consumer: Any,
    labels: Mapping[At, At],
    pending: Offsets,
    journal: Skipped,
    skipped: Callable[[At, int, int], None],
) -> Iterator[tuple[At, list[Any]]]:
    limit = time.monotonic() + READ_LIMIT_S
    while pending:
        messages = consumer.consume(_ROWS, _POLL_S)
        limit = time.monotonic() + READ_LIMIT_S if messages else limit
        if time.monotonic() > limit:
            raise KafkaError(
                f"read the records to land: nothing came for {READ_LIMIT_S:g} s; look into the broker's log"
            )
        for (topic, p, is_good), group in itertools.groupby(messages, _kind):
            at, found = labels.get((topic, p)), list(group)  # None for an error of the whole client, which retries
            if at is None or at not in pending:
                continue
            if is_good:
                wanted = found if found[-1].offset() < pending[at] else [m for m in found if m.offset() < pending[at]]
                if wanted:
                    yield at, wanted
                position = found[-1].offset() + 1
            else:
                position = max(_behind(consumer, at, error, journal, skipped) for error in found)
            if position >= pending[at]:
                del pending[at]


def _kind(message: Any) -> tuple[str, int, bool]:
    return message.topic(), message.partition(), message.error() is None


def _behind(consumer: Any, at: At, message: Any, journal: Skipped, skipped: Callable[[At, int, int], None]) -> int:
    """The offset of a consumer that met this error; 0 if the error goes away by itself. Raises at all other errors."""
    error, offset = message.error(), int(message.offset())
    if is_unreadable(error):
        behind = journal.behind(message)
        skipped(at, offset, behind)
        consumer.seek(TopicPartition(message.topic(), message.partition(), behind))
        return behind
    if error.code() == ClientError._PARTITION_EOF:
        return offset
    if error.fatal() or not error.retriable():
        raise KafkaException(error)
    return 0


def read_by_client(
    spark: SparkSession, settings: Settings, fleet: FleetSpec, start: Offsets, end: Offsets
) -> DataFrame:
    """The records of partitions that hold large ones, as rows of bronze, read in Spark's Python workers."""
    tasks = [(label, p, start.get((label, p), 0), stop) for (label, p), stop in sorted(end.items())]
    asked = spark.createDataFrame(tasks, "topic string, partition int, start bigint, end bigint")
    rows = asked.repartition(len(tasks), "topic", "partition").mapInArrow(_reader(settings, fleet), ddl(_COLUMNS))
    return rows.selectExpr("*", "CAST(broker_ts AS DATE) AS day")


def _reader(settings: Settings, fleet: FleetSpec) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def read(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        limit, schema = largest_record(fleet), bronze_schema()
        for asked in (row for batch in batches for row in batch.to_pylist()):
            at = (asked["topic"], asked["partition"])
            for _, messages in read_records(settings, fleet, {at: asked["start"]}, {at: asked["end"]}):
                rows = (_row(at, m, limit, fleet.limits.record_bytes) for m in messages)
                yield from _batches(rows, schema)

    return read


def _batches(rows: Iterator[list[Any]], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    held: list[list[Any]] = []
    size = 0
    for row in rows:
        held.append(row)
        size += len(row[4] or b"") + len(row[5] or b"")
        if size > _ROW_BYTES:
            yield _batch(held, schema)
            held, size = [], 0
    if held:
        yield _batch(held, schema)


def _batch(rows: list[list[Any]], schema: pa.Schema) -> pa.RecordBatch:
    import pyarrow as pa

    columns = zip(zip(*rows, strict=True), schema.types, strict=True)
    return pa.RecordBatch.from_arrays([pa.array(column, kind) for column, kind in columns], schema=schema)


def bronze_schema() -> pa.Schema:
    """The columns of bronze without `day`, as an Arrow schema."""
    import pyarrow as pa

    header = pa.struct([("key", pa.string()), ("value", pa.binary())])
    plain = arrow_schema({name: kind for name, kind in _COLUMNS.items() if name != "headers"})
    return plain.insert(list(_COLUMNS).index("headers"), pa.field("headers", pa.list_(header)))


def _row(at: At, message: Any, limit: int, kept: int) -> list[Any]:
    """A message as a row of bronze. If it is larger than `limit`, its value is cut to `kept` bytes, and its key to 1,024."""
    key, value, headers = message.key(), message.value(), _headers(message, limit)
    size: int | None = None
    digest: str | None = None
    if _size(message) > limit:
        key = key and key[:_KEY_BYTES]
        if value is not None and len(value) > limit:
            size, digest, value = len(value), hashlib.sha256(value).hexdigest(), value[:kept]
    return [*at, message.offset(), message.timestamp()[1] * 1_000, key, value, headers, size, digest]


def _headers(message: Any, limit: int) -> list[dict[str, Any]] | None:
    """The headers, or a note instead if they are larger than `limit` bytes or not UTF-8."""
    try:
        found = message.headers()
    except UnicodeDecodeError:  # a producer may use any bytes as a header's name
        return [{"key": _HEADERS_NOTE, "value": b"names are not UTF-8"}]
    if (size := _header_bytes(message)) > limit:
        return [{"key": _HEADERS_NOTE, "value": b"%d bytes in %d headers" % (size, len(found))}]
    return [{"key": name, "value": content} for name, content in found] if found else None


def _size(message: Any) -> int:
    """Bytes of value, key and headers."""
    return len(message) + len(message.key() or b"") + _header_bytes(message)


def _header_bytes(message: Any) -> int:
    """Bytes of the headers plus eight for each; more than any limit if a name is not UTF-8, because the size is then unknown."""
    try:
        headers = message.headers()
        return sum(len(name) + len(content or b"") + 8 for name, content in headers) if headers else 0
    except UnicodeDecodeError:
        return 1 << 31


class CutValue(bytes):
    """The first bytes of a value that was cut. Its length is the length of the whole, so admission refuses it for its size."""

    whole_bytes: int
    sha256: str

    def __len__(self) -> int:
        return self.whole_bytes


def values_of(rows: pa.RecordBatch) -> list[bytes | None]:
    """The values of rows of bronze; values that were cut come as `CutValue`."""
    values: list[bytes | None] = rows["value"].to_pylist()
    if rows["value_bytes"].null_count == len(rows):
        return values
    for i, (size, digest) in enumerate(
        zip(rows["value_bytes"].to_pylist(), rows["value_sha256"].to_pylist(), strict=True)
    ):
        if size is not None:
            cut = CutValue(values[i] or b"")
            cut.whole_bytes, cut.sha256 = size, digest
            values[i] = cut
    return values


def sha256_of(value: bytes) -> str:
    """The digest of the whole value, even if only a part was landed."""
    return value.sha256 if isinstance(value, CutValue) else hashlib.sha256(value).hexdigest()


def cut_columns(records: DataFrame) -> list[Column]:
    """`CUT_COLUMNS` of rows of bronze; null if an older release landed the whole records."""
    from pyspark.sql import functions as f

    return [
        f.col(name) if name in records.columns else f.lit(None).cast(kind).alias(name)
        for name, kind in CUT_COLUMNS.items()
    ]
