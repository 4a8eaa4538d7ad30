"""The lake's pass forgets devices just as the scorer does, over several runs; no Spark needed for that."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from aimaas.admission.judge import Judge, Reason
from aimaas.admission.rule_log import RuleLog, RulesFrom
from aimaas.admission.rules import digest_of, rules_of
from aimaas.fleet import FleetSpec, Reading, load_fleet
from aimaas.kernel.state import DeviceState
from aimaas.records.events import encode_event
from aimaas.topics import topic_names
from spark_jobs.admission.rule_claims import JudgedBy
from spark_jobs.admission.verdicts import judge_partitions
from tests.conftest import FLEETS
from tests.partitioners import anywhere
from tests.spark_jobs.memory_journal import by_file

AT_MS = 1_795_428_000_000
AT = datetime.fromtimestamp(AT_MS / 1e3, UTC)
MILL = load_fleet(FLEETS / "mill.yaml")


def events(fleet: FleetSpec, n: int) -> list[tuple[bytes, bytes]]:
    """n events of ten devices, with repeated sequence numbers."""
    rng, at = np.random.default_rng(3), datetime.fromtimestamp(AT_MS / 1e3, UTC)
    readings: dict[str, float | None] = {
        name: r.fill_value for name, r in zip(fleet.readings, fleet.reading_specs, strict=True)
    }
    made = []
    for i in range(n):
        device = f"mill-{rng.integers(0, 10)}"
        made.append((device.encode(), encode_event(fleet.fleet, device, 0, i // 15, at, readings)))
    return made


def rows(fleet: FleetSpec, records: list[tuple[bytes, bytes]], begin: int) -> pa.RecordBatch:
    n = len(records)
    columns: dict[str, Any] = {
        "topic": pa.array([topic_names(fleet).events] * n), "partition": pa.array([0] * n, pa.int32()),
        "offset": pa.array(range(begin, begin + n), pa.int64()),
        "broker_ts": pa.array(((AT_MS + begin + np.arange(n)) * 1000).tolist(), pa.timestamp("us", "UTC")),
        "key": pa.array([k for k, _ in records], pa.binary()), "value": pa.array([v for _, v in records], pa.binary()),
        "value_bytes": pa.nulls(n, pa.int64()), "value_sha256": pa.nulls(n, pa.string()),
        "is_record": pa.array([True] * n), "device_id": pa.nulls(n, pa.string()), "state": pa.nulls(n, pa.binary()),
    }  # fmt: skip
    return pa.RecordBatch.from_pydict(columns)


def state_rows(kept: list[dict[str, Any]]) -> pa.RecordBatch:
    n = len(kept)
    columns: dict[str, Any] = {name: [row[name] for row in kept] for name in ("topic", "partition", "offset")}
    columns |= {"broker_ts": pa.nulls(n, pa.timestamp("us", "UTC")), "key": pa.nulls(n, pa.binary())}
    columns |= {"value_bytes": pa.nulls(n, pa.int64()), "value_sha256": pa.nulls(n, pa.string())}
    columns |= {"value": pa.nulls(n, pa.binary()), "is_record": [False] * n}
    columns |= {name: [row[name] for row in kept] for name in ("device_id", "state")}
    return pa.RecordBatch.from_pydict(columns)


def test_the_lake_forgets_where_the_scorer_forgets_over_several_runs() -> None:
    limits = MILL.limits.model_copy(update={"devices": 5 * MILL.topics.partitions})
    fleet = anywhere(MILL.model_copy(update={"limits": limits}))
    records = events(fleet, 300)
    judge, state = Judge(fleet), DeviceState.of(fleet)
    batch = judge.decode([k for k, _ in records], [v for _, v in records])
    judge.order(batch, AT_MS + np.arange(300), state)
    assert len(batch.forgotten) > 10
    expected = {i: Reason(r).label for i, r in enumerate(batch.reason)}

    found, kept = passes(by_file(fleet), records, 60)

    assert {offset: row["reason"] or "admitted" for offset, row in found.items()} == expected
    assert {row["device_id"] for row in kept} - {None} == {device for device, _ in state.devices}


def passes(
    by: JudgedBy, records: list[tuple[bytes, bytes]], size: int
) -> tuple[dict[int, dict[str, Any]], list[dict[str, Any]]]:
    """Verdicts by offset, and the state at the end, of passes over so many records each."""
    found: dict[int, dict[str, Any]] = {}
    kept: list[dict[str, Any]] = []
    for begin in range(0, len(records), size):
        given = [*([state_rows(kept)] if kept else []), rows(by.book.fleet, records[begin : begin + size], begin)]
        out = [row for b in judge_partitions(by)(iter(given)) for row in b.to_pylist()]
        kept = [row for row in out if row["verdict"] == "admission_state"]
        found |= {row["offset"]: row for row in out if row["verdict"] in ("silver", "quarantine")}
    return found, kept


def test_within_a_pass_and_between_passes_each_offset_is_judged_by_the_rules_that_hold_for_it() -> None:
    added = Reading(name="added", unit="1", range=(0, 10), nullable=True, fill="previous")
    limits = MILL.limits.model_copy(update={"devices": 5 * MILL.topics.partitions})
    now = anywhere(MILL.model_copy(update={"sensors": {**MILL.sensors, "added": added}}))
    first = next(iter(MILL.sensors))
    low, high = MILL.sensors[first].range
    narrow = MILL.sensors[first].model_copy(update={"range": (low, (low + high) / 2 - 1e-6)})
    then = anywhere(MILL.model_copy(update={"limits": limits, "sensors": {**MILL.sensors, first: narrow}}))
    files = [anywhere(MILL.model_copy(update={"limits": limits})), then, now]
    starts = [0, 130, 190]
    entries = [
        RulesFrom(topic_names(MILL).events, {0: start}, digest_of(rules_of(f)), "scorer", AT, rules_of(f))
        for start, f in zip(starts, files, strict=True)
    ]
    records, state = events(now, 300), DeviceState((), 1, 0)
    expected: list[str] = []
    for begin, end, fleet in zip(starts, [*starts[1:], 300], files, strict=True):
        judge = Judge(fleet)
        batch = judge.decode([k for k, _ in records[begin:end]], [v for _, v in records[begin:end]])
        judge.order(batch, AT_MS + np.arange(begin, end), state)
        expected += [Reason(r).label for r in batch.reason]

    for size in (300, 100, 70):
        found, kept = passes(JudgedBy.of(now, RuleLog.of(entries)), records, size)
        assert [found[i]["reason"] or "admitted" for i in range(300)] == expected
        assert {row["device_id"] for row in kept} - {None} == {device for device, _ in state.devices}
        silver = [found[i] for i in range(300) if found[i]["verdict"] == "silver"]
        assert {row["reading.added"] for row in silver if row["offset"] < 190} == {None}
        assert {row["reading.added"] for row in silver if row["offset"] >= 190} == {5.0}
    assert {"admitted", "out_of_range", "duplicate"} <= set(expected)
    assert set(expected[130:190]) == {"out_of_range"}
