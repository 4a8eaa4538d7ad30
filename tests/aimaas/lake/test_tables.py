from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake

from aimaas.errors import LakeError
from aimaas.lake import Held, commit_notes, held, newest_note, read_table, row_count, table_path, table_version
from aimaas.settings import Settings, read_settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_settings({"AIMAAS_HOME": str(tmp_path)})


def write(settings: Settings, offsets: dict[int, list[int]], number: int = 1, note: str = "") -> None:
    """Append records of topic `t`: offsets by partition."""
    rows = [("t", partition, offset) for partition, found in offsets.items() for offset in found]
    columns = dict(zip(("topic", "partition", "offset"), map(list, zip(*rows, strict=True)), strict=True))
    table = pa.table(columns, pa.schema([("topic", pa.string()), ("partition", pa.int32()), ("offset", pa.int64())]))
    properties = CommitProperties(custom_metadata={"userMetadata": note}, app_transactions=[Transaction("job", number)])
    path = table_path(settings, "pump", "bronze")
    write_deltalake(path, table, mode="append", partition_by=["topic", "partition"], commit_properties=properties)


def test_a_missing_table_is_named_with_the_job_that_makes_it(settings: Settings) -> None:
    assert table_version(settings, "pump", "gold") is None
    assert row_count(settings, "pump", "gold") == 0
    assert held(settings, "pump", "bronze", "job") == Held()
    assert commit_notes(settings, "pump", "bronze") == []
    with pytest.raises(LakeError, match=r"pump/gold: no such table; the gold job makes it"):
        read_table(settings, "pump", "gold")


def test_a_table_says_what_it_holds_of_each_partition_and_which_transaction_came_last(settings: Settings) -> None:
    write(settings, {0: [0, 1, 2], 2: [5]}, 1, "first")
    write(settings, {0: [3, 7]}, 2, "second")
    assert held(settings, "pump", "bronze", "job") == Held(1, 2, {("t", 0): 8, ("t", 2): 6}, "second")
    assert held(settings, "pump", "bronze", "another job").number == 0
    assert commit_notes(settings, "pump", "bronze") == ["second", "first"]
    assert commit_notes(settings, "pump", "bronze", since=0) == ["second"]
    assert commit_notes(settings, "pump", "bronze", since=1) == []
    assert row_count(settings, "pump", "bronze") == 6


def test_compaction_changes_nothing_of_what_is_held(settings: Settings) -> None:
    for first in range(0, 9, 3):
        write(settings, {0: [first, first + 1, first + 2], 1: [first]}, first + 1)
    before = held(settings, "pump", "bronze", "job")
    DeltaTable(table_path(settings, "pump", "bronze")).optimize.compact()
    after = held(settings, "pump", "bronze", "job")
    assert (after.offsets, after.number) == (before.offsets, before.number)
    assert after.version == 3


def test_a_note_is_found_behind_commits_without_one_and_as_of_a_version(settings: Settings) -> None:
    assert newest_note(settings, "pump", "bronze") is None
    for n in range(3):
        write(settings, {0: [n]}, n + 1, f"note {n}")
    DeltaTable(table_path(settings, "pump", "bronze")).optimize.compact()
    assert newest_note(settings, "pump", "bronze") == held(settings, "pump", "bronze", "job").note == "note 2"
    assert [newest_note(settings, "pump", "bronze", version) for version in (0, 1, 3)] == ["note 0", "note 1", "note 2"]


def test_rows_are_read_by_column_filter_and_version(settings: Settings) -> None:
    write(settings, {0: [0, 1], 1: [0]})
    write(settings, {0: [2]}, 2)
    found = read_table(settings, "pump", "bronze", ["offset"], ds.field("partition") == 0)
    assert sorted(found["offset"].to_pylist()) == [0, 1, 2]
    assert read_table(settings, "pump", "bronze", version=0).num_rows == 3
    with pytest.raises(LakeError, match="no column 'colour'; it has topic, partition, offset"):
        read_table(settings, "pump", "bronze", ["colour"])
    with pytest.raises(LakeError, match="version 9"):
        read_table(settings, "pump", "bronze", version=9)


def test_a_torn_log_is_told_in_one_line(settings: Settings) -> None:
    write(settings, {0: [0]})
    log = Path(table_path(settings, "pump", "bronze")) / "_delta_log" / "00000000000000000000.json"
    log.write_text("{torn")
    with pytest.raises(LakeError) as refused:
        read_table(settings, "pump", "bronze")
    assert "\n" not in str(refused.value)
