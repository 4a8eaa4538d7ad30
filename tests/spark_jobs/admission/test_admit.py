from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from aimaas.admission.judge import Judge, Reason
from aimaas.errors import LakeError
from aimaas.kafka import read_all
from aimaas.kernel.state import DeviceState
from aimaas.lake import Held, Table, read_table, table_version
from aimaas.lake.quarantine import EXPECTATION
from aimaas.topics import topic_names
from expectations.rows.parts import Part
from expectations.set_aside import set_aside
from expectations.suite import Expected
from spark_jobs.admit import Portion, admit, append, bounded, find_portion, judge_portion
from spark_jobs.land import land
from stream.devices.faults import FAULTS
from tests.spark_jobs.memory_journal import by_file

if TYPE_CHECKING:
    from tests.spark_jobs.conftest import Plant

pytestmark = [pytest.mark.broker, pytest.mark.spark]
Place = tuple[str, int, int]


def mixed(plant: Plant, devices: range, seqs: range) -> list[tuple[Any, bytes | None]]:
    """Good events of some devices with every kind of bad one among them."""
    records: list[tuple[Any, bytes | None]] = []
    for seq in seqs:
        for device in (f"d{i}" for i in devices):
            records.append((device, plant.event(device, seq)))
    name, good = records[-1]
    bad = [
        (name, b"{"), (name, None), (name, b"[]"), (name, b"x" * 500), (name, good), ("d-other", good), (None, good),
        (name, plant.event(name, seqs[-1], readings={"heat": 7})),
        (name, plant.event(name, seqs[-1] + 1, readings={"heat": 1e9})),
        (name, plant.event(name, seqs[-1] + 1, without="heat")),
        (name, plant.event(name, seqs[-1] + 1, readings={"heat": float("nan")})),
        (name, plant.event(name, seqs[-1] + 1, fleet="another")),
        (name, plant.event(name, seqs[-1] + 1, ts="2199-01-01T00:00:00Z")),
        (name, plant.event(name, seqs[-1] + 1, readings={"load": None})),
        (name, plant.event(name, seqs[-1] + 1, 0, seq=2**53 - 1)),
    ]  # fmt: skip
    late = [(name, plant.event(name, seqs[0] - 50))] if seqs[0] >= 50 else []
    return records[:5] + bad[:4] + records[5:] + bad[4:] + late


def verdicts_of_the_stream(plant: Plant) -> dict[Place, str]:
    """What the scorer's judge says of every event on the topic, partition by partition."""
    judge, found = Judge(plant.fleet), {}
    records = read_all(plant.settings, topic_names(plant.fleet).events)
    for partition in {r.partition for r in records}:
        mine, state = [r for r in records if r.partition == partition], DeviceState.of(plant.fleet)
        for part in np.array_split(np.arange(len(mine)), 7):
            chosen = [mine[i] for i in part]
            batch = judge.decode([r.key for r in chosen], [r.value for r in chosen])
            judge.order(batch, np.array([r.timestamp_ms for r in chosen], np.int64), state)
            for record, reason in zip(chosen, batch.reason, strict=True):
                found[record.topic, record.partition, record.offset] = Reason(reason).label
    return found


def verdicts_of_the_lake(plant: Plant) -> dict[Place, str]:
    found: dict[Place, str] = {}
    tables: tuple[Table, ...] = ("silver", "quarantine")
    for table in tables:
        columns = ["topic", "partition", "offset", *(["reason"] if table == "quarantine" else [])]
        rows = read_table(plant.settings, plant.fleet.fleet, table, columns).to_pylist()
        for row in rows:
            place = (row["topic"], row["partition"], row["offset"])
            if place[0] == topic_names(plant.fleet).events:
                assert place not in found
                found[place] = row.get("reason", "admitted")
    return found


@pytest.mark.long
def test_the_lake_says_of_every_event_what_the_stream_says_over_several_runs(plant: Plant) -> None:
    for seqs in (range(10), range(60, 70)):
        plant.send(*mixed(plant, range(8), seqs))
        land(plant.job("land"))
        admit(plant.job("admit"))
        assert verdicts_of_the_lake(plant) == verdicts_of_the_stream(plant)
    reasons = set(verdicts_of_the_stream(plant).values())
    assert reasons == {Reason.ADMITTED.label, *(r.label for r in FAULTS)}
    assert admit(plant.job("admit")) == {"silver": 0, "outcomes": 0, "quarantine": 0}


@pytest.mark.long
def test_a_backlog_is_judged_in_portions_which_say_the_same(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spark_jobs.admit._MOST", 60)
    records = mixed(plant, range(8), range(60, 90))
    plant.send(*records)
    land(plant.job("land"))
    report = admit(plant.job("admit"))

    assert sum(report.values()) == len(records)
    assert (table_version(plant.settings, plant.fleet.fleet, "admission_state") or 0) >= 3  # a commit for each portion
    assert verdicts_of_the_lake(plant) == verdicts_of_the_stream(plant)


def test_the_first_part_of_a_portion_has_rows_of_every_partition_also_behind_a_gap(spark: Any) -> None:
    start, end = {("t", 0): 0, ("t", 1): 5}, {("t", 0): 1_000_030, ("t", 1): 9}
    portion = Portion(0, start, end, Held())
    rows = [("t", 0, 1_000_000 + i) for i in range(30)] + [("t", 1, i) for i in range(5, 9)]
    records = spark.createDataFrame(rows, "topic string, partition int, offset bigint")

    assert bounded(portion, lambda: records, 20).end == {("t", 0): 1_000_010, ("t", 1): 9}
    assert bounded(portion, lambda: records, 1).end == {("t", 0): 1_000_001, ("t", 1): 6}
    assert bounded(portion, lambda: records, 2_000_000) is portion


def test_silver_has_the_readings_as_sent_and_quarantine_what_was_refused(plant: Plant) -> None:
    plant.send(("d1", plant.event("d1", 4, readings={"load": None})), ("d1", b"y" * 600))
    plant.send(("d1", plant.outcome("d1", 9)), ("d1", b"{nope"), ("d2", plant.outcome("d1", 9)), topic="outcomes")
    land(plant.job("land"))
    assert admit(plant.job("admit")) == {"silver": 1, "outcomes": 1, "quarantine": 3}
    fleet = plant.fleet.fleet
    (silver,) = read_table(plant.settings, fleet, "silver").to_pylist()
    assert {k: silver[k] for k in ("device_id", "run", "seq", "order", "begins", "mode", "heat", "load")} == {
        "device_id": "d1", "run": 0, "seq": 4, "order": 4, "begins": True, "mode": 1.0, "heat": 304.0, "load": None,
    }  # fmt: skip
    assert silver["ts"].isoformat() == "2026-01-01T00:00:04+00:00"
    (failed,) = read_table(plant.settings, fleet, "outcomes").to_pylist()
    assert (failed["device_id"], failed["order"], failed["kind"], failed["mode"]) == ("d1", 9, "failed", None)
    refused = read_table(plant.settings, fleet, "quarantine").to_pylist()
    assert sorted(r["reason"] for r in refused) == ["key_mismatch", "oversized", "unparsable"]
    (large,) = [r for r in refused if r["reason"] == "oversized"]
    assert (large["key"], large["value"], large["value_bytes"]) == (b"d1", b"y" * 400, 600)
    assert large["value_sha256"] == hashlib.sha256(b"y" * 600).hexdigest()


def test_a_run_killed_between_its_writes_is_finished_by_the_next_though_bronze_has_grown(
    plant: Plant, spark: Any
) -> None:
    plant.send(*mixed(plant, range(4), range(10)))
    land(plant.job("land"))
    portion = find_portion(plant.settings, plant.fleet)
    assert portion is not None
    append(
        plant.settings,
        plant.fleet,
        "silver",
        judge_portion(spark, plant.settings, plant.fleet, portion, by_file(plant.fleet)),
        portion,
    )

    plant.send(*mixed(plant, range(4), range(70, 80)))
    land(plant.job("land"))
    admit(plant.job("admit"))
    assert verdicts_of_the_lake(plant) == verdicts_of_the_stream(plant)


@pytest.mark.long
@pytest.mark.parametrize("is_killed_again", [False, True], ids=["before quarantine", "and again behind it"])
def test_what_a_gate_notes_between_the_writes_of_a_killed_run_hides_no_refused_record(
    plant: Plant, spark: Any, is_killed_again: bool
) -> None:
    settings, fleet = plant.settings, plant.fleet
    plant.send(*mixed(plant, range(4), range(60, 70)))
    land(plant.job("land"))
    admit(plant.job("admit"))
    plant.send(*mixed(plant, range(4), range(70, 80)))
    land(plant.job("land"))
    portion = find_portion(settings, fleet)
    assert portion is not None
    judged = judge_portion(spark, settings, fleet, portion, by_file(fleet))
    append(settings, fleet, "silver", judged, portion)  # and killed before quarantine
    columns = ["topic", "partition", "offset", "broker_ts", "device_id"]
    served = read_table(settings, fleet.fleet, "silver", columns).sort_by("offset")
    expected: Expected = ("expect_something", {"column": "device_id"}, "quarantine")
    assert set_aside(settings, fleet, served, Part(), [(expected, [served.num_rows - 1])]) == 1

    if is_killed_again:
        append(settings, fleet, "quarantine", judged, portion)
    admit(plant.job("admit"))

    rows = read_table(settings, fleet.fleet, "quarantine", ["topic", "partition", "offset", "reason"]).to_pylist()
    refused = {(r["topic"], r["partition"], r["offset"]): r["reason"] for r in rows if r["reason"] != EXPECTATION}
    assert len(refused) == len(rows) - 1
    assert refused == {p: reason for p, reason in verdicts_of_the_stream(plant).items() if reason != "admitted"}


def test_a_second_run_at_the_same_time_fails_instead_of_doubling(plant: Plant, spark: Any) -> None:
    from aimaas.lake import held
    from spark_jobs.admit import rows_of
    from spark_jobs.commits import commit

    plant.send(*mixed(plant, range(4), range(10)))
    land(plant.job("land"))
    portion, seen = (
        find_portion(plant.settings, plant.fleet),
        held(plant.settings, plant.fleet.fleet, "silver", "admit"),
    )
    assert portion is not None
    slow = rows_of(
        judge_portion(spark, plant.settings, plant.fleet, portion, by_file(plant.fleet)), "silver", plant.fleet
    )
    admit(plant.job("admit"))
    with pytest.raises(LakeError, match="another admit job"):
        commit(plant.settings, plant.fleet, "silver", "admit", slow, seen)
    assert verdicts_of_the_lake(plant) == verdicts_of_the_stream(plant)


def test_before_anything_landed_there_is_nothing_to_do(plant: Plant) -> None:
    assert admit(plant.job("admit")) == {"silver": 0, "outcomes": 0, "quarantine": 0}
    assert table_version(plant.settings, plant.fleet.fleet, "silver") is None
