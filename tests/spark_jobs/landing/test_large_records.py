"""A record that unpacks to far more than its topic takes is landed cut, and judged as the stream judges the whole of it."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from confluent_kafka import Producer

from aimaas.admission.judge import Judge
from aimaas.admission.unreadable_batches import skip
from aimaas.errors import KafkaError
from aimaas.kafka import producer_config, read_all
from aimaas.lake import read_table
from aimaas.topics import largest_record, topic_names
from spark_jobs.admit import admit
from spark_jobs.land import land
from spark_jobs.landing.large_records import Scan, bronze_schema, sha256_of, values_of
from tests.spark_jobs.conftest import small_fleet

if TYPE_CHECKING:
    from tests.spark_jobs.conftest import Plant

NARROW = {"fetch.max.bytes": "1000000", "receive.message.max.bytes": "1500000"}  # what unpacks to more is not read


def send_compressed(
    plant: Plant, records: list[tuple[bytes, bytes, Any]], partition: int, topic: str = "events"
) -> None:
    """Records in one zstd batch; `d1` belongs into partition 1."""
    config = producer_config(plant.settings, compression_type="zstd", batch_size=2 * 10**9, linger_ms=500)
    producer = Producer({**config, "message.max.bytes": 10**9, "queue.buffering.max.kbytes": 2 * 10**6})
    for key, value, headers in records:
        producer.produce(getattr(topic_names(plant.fleet), topic), value, key, partition, headers=headers)
    assert producer.flush(60) == 0


@pytest.mark.broker
@pytest.mark.spark
def test_large_records_are_landed_cut_with_size_and_digest_of_the_whole_and_the_records_around_them_as_they_came(
    plant: Plant,
) -> None:
    names, limit = topic_names(plant.fleet), largest_record(plant.fleet)
    spaces = plant.event("e", 1) + b" " * 60_000_000  # cut off it would be a good event
    plant.send(*((f"d{seq % 9}", plant.event(f"d{seq % 9}", seq)) for seq in range(1, 40)))
    send_compressed(plant, [(b"d1", plant.event("d1", 50), None), (b"e", spaces, [("site", b"north")])], partition=1)
    send_compressed(plant, [(b"k" * 2_000_000, plant.event("d2", 51), [("h", b"v" * 2_000_000)])], partition=0)
    send_compressed(plant, [(b"e", spaces, None)], partition=0, topic="outcomes")
    plant.send(*((f"d{seq % 9}", plant.event(f"d{seq % 9}", seq)) for seq in range(60, 70)))

    assert land(plant.job("land"))["offsets"] == 53
    assert land(plant.job("land"))["offsets"] == 0
    admitted = admit(plant.job("admit"))

    records = {
        (r.topic, r.partition, r.offset): r for t in (names.events, names.outcomes) for r in read_all(plant.settings, t)
    }
    bronze = {
        (r["topic"], r["partition"], r["offset"]): r
        for r in read_table(plant.settings, plant.fleet.fleet, "bronze").to_pylist()
    }
    assert bronze.keys() == records.keys()
    for at, row in bronze.items():
        whole = records[at]
        assert row["broker_ts"] == datetime.fromtimestamp(whole.timestamp_ms / 1e3, UTC)
        assert row["day"] == row["broker_ts"].date()
        if len(whole.value or b"") > limit:
            assert (row["value"], row["value_bytes"]) == (spaces[:400], len(spaces))
            assert row["value_sha256"] == hashlib.sha256(spaces).hexdigest()
        else:
            assert (row["value"], row["value_bytes"], row["value_sha256"]) == (whole.value, None, None)
        assert row["key"] == (whole.key or b"")[:1_024]
        found = {h["key"]: h["value"] for h in row["headers"] or ()}
        assert found == (
            {"aimaas.truncated.headers": b"2000009 bytes in 1 headers"} if "h" in whole.headers else whole.headers
        )

    quarantine = read_table(plant.settings, plant.fleet.fleet, "quarantine").to_pylist()
    assert Counter(r["reason"] for r in quarantine) == {"oversized": 2, "key_mismatch": 1}
    assert admitted["silver"] == 50
    in_stream = Judge(plant.fleet).decode([b"e"], [spaces])
    for row in quarantine:
        if row["reason"] == "oversized":
            assert row["detail"] == in_stream.detail[0]
            assert (row["value"], row["value_bytes"]) == (spaces[:400], len(spaces))
            assert row["value_sha256"] == hashlib.sha256(spaces).hexdigest()


@pytest.mark.broker
@pytest.mark.spark
def test_a_batch_that_nobody_can_unpack_stops_the_landing_with_its_place_until_it_is_skipped_as_a_gap(
    plant: Plant,
) -> None:
    events = topic_names(plant.fleet).events
    plant.settings = replace(plant.settings, kafka={**plant.settings.kafka, **NARROW})
    send_compressed(plant, [(b"d1", plant.event("d1", 1), None)], partition=1)
    send_compressed(plant, [(b"d1", b"\0" * 3_000_000, None)] * 2, partition=1)
    send_compressed(plant, [(b"d1", plant.event("d1", 2), None)], partition=1)

    with pytest.raises(
        KafkaError, match=f"topic {events}, partition 1, offset 1: the batch cannot be read .* topics skip"
    ):
        land(plant.job("land"))
    skip(plant.settings, plant.fleet, events, 1, 2, datetime.now(UTC))
    land(plant.job("land"))

    bronze = read_table(plant.settings, plant.fleet.fleet, "bronze", ["partition", "offset"]).to_pylist()
    assert sorted((r["partition"], r["offset"]) for r in bronze) == [(1, 0), (1, 3)]
    (gap,) = read_table(plant.settings, plant.fleet.fleet, "gaps").to_pylist()
    assert (gap["topic"], gap["partition"], gap["first_offset"], gap["last_offset"]) == (events, 1, 1, 2)
    assert land(plant.job("land"))["offsets"] == 0


def test_a_value_that_was_landed_cut_is_refused_for_the_size_of_the_whole() -> None:
    fleet, schema = small_fleet(), bronze_schema()
    row = ["t", 0, 1, datetime(2026, 1, 1, tzinfo=UTC), b"d", b"{}", None, 5_000_000, "ab"]
    plain = ["t", 0, 2, datetime(2026, 1, 1, tzinfo=UTC), b"d", b"{}", None, None, None]
    rows = pa.RecordBatch.from_arrays(
        [pa.array(c, k) for c, k in zip(zip(row, plain, strict=True), schema.types, strict=True)], schema=schema
    )

    cut, whole = values_of(rows)

    assert cut is not None
    assert whole is not None
    assert Judge(fleet).decode([b"d"], [cut]).detail == {0: "5000000 bytes; allowed are 400"}
    assert (cut[:400], sha256_of(cut)) == (b"{}", "ab")
    assert (whole, sha256_of(whole)) == (b"{}", hashlib.sha256(b"{}").hexdigest())


@pytest.mark.parametrize(
    ("largest", "records"), [(1, 500), (100_000, 335), (1_048_576, 32), (2_000_000, 16), (10**9, 1)]
)
def test_spark_unpacks_as_many_records_at_once_as_fit_into_32_mb(largest: int, records: int) -> None:
    assert Scan(largest=largest).polled_records == records
