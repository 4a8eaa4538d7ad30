"""What is published: verdicts on real Delta tables, of lakes old and new, raced, compacted and made anew."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from deltalake import CommitProperties, write_deltalake

from aimaas.errors import LakeError
from aimaas.fleet import FleetSpec
from aimaas.lake import find_table, offsets_json, table_path
from aimaas.lake.audits import (
    Audit,
    Failure,
    begin_audits,
    held_back,
    newest_audit,
    next_number,
    published_gold,
    published_offsets,
    record,
)
from aimaas.settings import Settings
from tests.spark_jobs.conftest import small_fleet
from upkeep.maintenance.maintain import maintain

NOW = datetime(2026, 11, 24, tzinfo=UTC)
AT = ("iot.mill.events", 0)


@pytest.fixture
def fleet() -> FleetSpec:
    return small_fleet()


def write_silver(settings: Settings, fleet: FleetSpec) -> None:
    path = table_path(settings, fleet.fleet, "silver")
    rows = pa.table({"topic": [AT[0]], "partition": [0], "offset": [0]})
    write_deltalake(path, rows, mode="append", partition_by=["topic", "partition"])


def write_gold(settings: Settings, fleet: FleetSpec, end: int) -> int:
    """A commit of the gold job up to an offset; the version that it makes."""
    note = {"admitted": offsets_json({AT: end}), "outcomes": end}
    noted = CommitProperties(custom_metadata={"userMetadata": f"mark {json.dumps(note)}"})
    path = table_path(settings, fleet.fleet, "gold")
    write_deltalake(path, pa.table({"offset": [end]}), mode="append", commit_properties=noted)
    return newest(settings, fleet)


def newest(settings: Settings, fleet: FleetSpec) -> int:
    found = find_table(settings, fleet.fleet, "gold")
    assert found is not None
    return int(found.version())


def audit(settings: Settings, fleet: FleetSpec, table: Any, end: int, verdict: Any = "passed", start: int = 0) -> Audit:
    """A verdict on a table as it is."""
    found = find_table(settings, fleet.fleet, table)
    assert found is not None
    note = (found.history(1)[0].get("userMetadata") or "").partition(" ")[2] if table == "gold" else ""
    return Audit(
        number=next_number(settings, fleet, table), table=table, verdict=verdict, start=offsets_json({AT: start}),
        end=offsets_json({AT: end}), version=int(found.version()), table_id=str(found.metadata().id), at=NOW, by="a test",
        made_of=note,
    )  # fmt: skip


def test_of_a_lake_without_audits_all_that_is_in_gold_counts_as_published_also_after_the_first_verdict(
    offline_settings: Settings, fleet: FleetSpec
) -> None:
    assert published_offsets(offline_settings, fleet) == {}
    write_silver(offline_settings, fleet)
    old = write_gold(offline_settings, fleet, 7)
    assert published_offsets(offline_settings, fleet) == {AT: 7}
    assert published_gold(offline_settings, fleet, old) == old

    for _ in range(2):
        begin_audits(offline_settings, fleet, NOW)

    newest_two = [newest_audit(offline_settings, fleet, t) for t in ("silver", "gold")]
    assert [audit.verdict for audit in newest_two if audit] == ["before"] * 2
    assert published_offsets(offline_settings, fleet) == {AT: 7}
    new = write_gold(offline_settings, fleet, 9)
    assert published_gold(offline_settings, fleet, new) == old, "no gate has passed it"
    assert [published_gold(offline_settings, fleet, v) for v in range(old + 1)] == list(range(old + 1))


def test_where_audits_and_golds_note_are_lost_what_is_published_is_read_from_golds_rows(
    offline_settings: Settings, fleet: FleetSpec
) -> None:
    write_silver(offline_settings, fleet)
    path = table_path(offline_settings, fleet.fleet, "gold")
    for offset in (4, 6):
        places = {"topic": [AT[0]] * 2, "partition": pa.array([0, 3], pa.int32()), "offset": [offset, 2 * offset]}
        write_deltalake(path, pa.table(places), mode="append")

    begin_audits(offline_settings, fleet, NOW)

    assert published_offsets(offline_settings, fleet) == {AT: 7, (AT[0], 3): 13}
    assert published_gold(offline_settings, fleet, 1) == 1


def test_a_failed_verdict_publishes_nothing_and_a_resolved_one_all_its_offsets(
    offline_settings: Settings, fleet: FleetSpec
) -> None:
    write_silver(offline_settings, fleet)
    record(offline_settings, fleet, [audit(offline_settings, fleet, "silver", 5)])
    failed = audit(offline_settings, fleet, "silver", 9, "failed", start=5)
    failure = Failure("speed", "expect_column_values_to_be_between", "9 of 9 rows fail", "min_value=500")
    record(offline_settings, fleet, [msgspec.structs.replace(failed, failures=(failure,))])

    assert published_offsets(offline_settings, fleet) == {AT: 5}
    (line,) = held_back(offline_settings, fleet)
    assert line.startswith(
        "silver iot.mill.events/0/5 to 8, which failed its gate at 2026-11-24T00:00:00Z (speed expect_"
    )

    record(offline_settings, fleet, [audit(offline_settings, fleet, "silver", 9, "acknowledged", start=5)])

    assert published_offsets(offline_settings, fleet) == {AT: 9}
    assert held_back(offline_settings, fleet) == []


def test_of_two_gates_that_judge_at_once_one_fails_and_verdicts_on_another_table_are_no_matter(
    offline_settings: Settings, fleet: FleetSpec
) -> None:
    write_silver(offline_settings, fleet)
    write_gold(offline_settings, fleet, 3)
    first, second = (audit(offline_settings, fleet, "silver", end) for end in (3, 4))
    gold = audit(offline_settings, fleet, "gold", 3)
    record(offline_settings, fleet, [first])
    record(offline_settings, fleet, [gold])

    with pytest.raises(LakeError, match="another gate judged silver meanwhile"):
        record(offline_settings, fleet, [second])

    assert published_offsets(offline_settings, fleet) == {AT: 3}


def test_published_gold_is_the_newest_that_passed_and_stays_it_when_its_files_are_put_together(
    offline_settings: Settings, fleet: FleetSpec
) -> None:
    write_silver(offline_settings, fleet)
    record(offline_settings, fleet, [audit(offline_settings, fleet, "silver", 4)])
    first = write_gold(offline_settings, fleet, 2)
    assert published_gold(offline_settings, fleet, first) is None
    record(offline_settings, fleet, [audit(offline_settings, fleet, "gold", 2)])
    second = write_gold(offline_settings, fleet, 3)
    record(offline_settings, fleet, [audit(offline_settings, fleet, "gold", 3, "failed", start=2)])
    assert published_gold(offline_settings, fleet, second) == first
    third = write_gold(offline_settings, fleet, 4)
    assert published_gold(offline_settings, fleet, third) == first
    record(offline_settings, fleet, [audit(offline_settings, fleet, "gold", 4, start=2)])
    maintain(offline_settings, fleet, NOW)

    now = newest(offline_settings, fleet)
    assert now > third
    assert [published_gold(offline_settings, fleet, v) for v in (first, second, third, now)] == [
        first,
        first,
        third,
        now,
    ]


def test_a_verdict_on_a_table_that_was_made_anew_since_counts_no_more(
    offline_settings: Settings, fleet: FleetSpec
) -> None:
    for _ in range(2):
        write_silver(offline_settings, fleet)
        write_gold(offline_settings, fleet, 2)
        assert published_offsets(offline_settings, fleet) in ({}, {AT: 2})
        record(offline_settings, fleet, [audit(offline_settings, fleet, t, 2) for t in ("silver", "gold")])
        assert published_offsets(offline_settings, fleet) == {AT: 2}
        assert published_gold(offline_settings, fleet, newest(offline_settings, fleet)) == newest(
            offline_settings, fleet
        )
        for table in ("silver", "gold"):
            shutil.rmtree(table_path(offline_settings, fleet.fleet, table))
        assert published_offsets(offline_settings, fleet) == {}
