"""One device erased everywhere, on real engines: nothing of it is left on disk, nothing comes back, nothing is called a gap."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from aimaas.admission.partitioner import partition_of
from aimaas.alerts.machine import FIRING, PENDING
from aimaas.errors import LakeError
from aimaas.fleet.alert_rules import AlertRule
from aimaas.kafka import read_all
from aimaas.kernel.state import DeviceState
from aimaas.lake import held, read_table
from aimaas.lake.erased_records import passed_over
from aimaas.records.alerts import SavedRule, encode_saved
from aimaas.topics import topic_names
from aimaas.training.folders import training_folder
from aimaas.training.training_set import VOID, read_training_set
from cli.app import app
from spark_jobs.admit import admit
from spark_jobs.features import features
from spark_jobs.land import land
from stream.alerts.episodes import fired, silent_ground
from stream.records.exclusive_writer import ExclusiveWriter, Write
from stream.state.log_reader import LogReader
from stream.state.records import device_record, offset_of, packed_of, rules_record
from stream.state.saved import read_saved
from tests.published import gold
from upkeep.erasing.exported import delete_statement
from upkeep.erasing.state import forget_state

if TYPE_CHECKING:
    from tests.spark_jobs.conftest import Plant

GONE = "zz-forget-me"  # sorts last: statistics of files would name it
DEVICES = [GONE, *(f"d{i}" for i in range(11))]


def to_gold(plant: Plant) -> None:
    for name, work in (("land", land), ("admit", admit), ("gold", gold)):
        work(plant.job(name))


def prepared(plant: Plant, tmp_path: Path) -> Path:
    """A lake, a training set and a page that hold the device; the folder of the set."""
    plant.send(*[(d, plant.event(d, seq)) for seq in range(30) for d in DEVICES])
    plant.send(*[(GONE, plant.event(GONE, 3)), ("other", plant.event(GONE, 40)), (GONE, b"{")])
    plant.send((GONE, plant.outcome(GONE, 29)), ("d1", plant.outcome("d1", 29)), topic="outcomes")
    to_gold(plant)
    folder = Path(training_folder(plant.settings, plant.fleet.fleet, "run")) / "training_set"
    features(plant.job("features", out=str(folder)))
    page = plant.settings.data_docs / plant.fleet.fleet / "site" / "v0.html"
    page.parent.mkdir(parents=True)
    page.write_text(f"<li>{GONE}</li>")
    return folder


def holding(folder: Path) -> list[str]:
    """Parquet files below a folder in which a row is the device's."""
    import pyarrow.parquet as pq

    found = []
    for path in folder.rglob("*.parquet"):
        table = pq.ParquetFile(path).read()
        ids = {*table.column("device_id").to_pylist()} if "device_id" in table.column_names else set()
        keys = {*table.column("key").to_pylist()} if "key" in table.column_names else set()
        if GONE in ids or GONE.encode() in keys:
            found.append(str(path))
    return found


@pytest.fixture
def call(plant: Plant, environment: None) -> Callable[..., Any]:
    """Run the command line on the plant's fleet; its JSON."""

    def run(*arguments: str) -> Any:
        done = CliRunner().invoke(app, [*arguments, "--fleet", plant.fleet.fleet, "--json"], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.mark.broker
@pytest.mark.spark
def test_a_forgotten_device_is_nowhere_stays_away_and_is_no_gap(
    plant: Plant, tmp_path: Path, call: Callable[..., Any]
) -> None:
    lake = Path(plant.settings.lake) / plant.fleet.fleet
    folder = prepared(plant, tmp_path)
    plant.send((GONE, plant.event(GONE, 30)), ("d1", plant.event("d1", 30)), (GONE, plant.event(GONE, 31)))
    before = len(holding(lake))

    would = call("forget", GONE, "--dry-run")

    assert len(holding(lake)) == before > 5
    assert would["rows"] == {
        "bronze": 34, "outcomes": 1, "silver": 30, "quarantine": 3, "gold": 30, "admission_state": 1, "gold_state": 1,
    }  # fmt: skip
    assert (would["waiting"], would["noted"], len(would["pages"])) == (2, 36, 1)

    done = call("forget", GONE)

    assert {k: v for k, v in done.items() if k in ("rows", "noted", "waiting")} == {
        k: would[k] for k in ("rows", "noted", "waiting")
    }
    assert holding(lake) == []
    assert [s["folder"] for s in done["void_training_sets"]] == [str(folder)]
    assert (folder / VOID).is_file()
    with pytest.raises(LakeError, match="void: a device that it learned from was forgotten"):
        read_training_set(folder)
    again = call("forget", GONE)
    assert (again["rows"], again["old_files"], again["noted"], again["pages"]) == ({}, {}, 0, [])

    to_gold(plant)

    assert holding(lake) == []
    names = ["device_id", "order"]
    rows = read_table(plant.settings, plant.fleet.fleet, "gold", names).to_pylist()
    assert {r["device_id"] for r in rows} == set(DEVICES) - {GONE}
    assert len(rows) == 11 * 30 + 1
    found = [call_line for call_line in gaps(plant, call) if "predicted" not in call_line and "letter" not in call_line]
    assert found == []
    by_topic = {r["topic"].rsplit(".", 1)[-1]: r for r in done["kafka"]}
    assert by_topic["events"]["gone_by"] > by_topic["events"]["newest"]
    assert by_topic["outcomes"]["how"].startswith("never automatically")
    assert f"`{delete_statement(plant.fleet.fleet, GONE)}`" in done["not_touched"]


def gaps(plant: Plant, call: Callable[..., Any]) -> list[str]:
    """The gaps that `aimaas reconcile` names of today; no scorer runs here, so predictions and letters are missing."""
    done = CliRunner().invoke(app, ["reconcile", "--fleet", plant.fleet.fleet, "--json"], catch_exceptions=False)
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["events"]["forgotten"] == 35
    return [gap["line"] for gap in report["gaps"]]


@pytest.mark.broker
@pytest.mark.spark
def test_what_was_erased_at_the_end_of_a_topic_does_not_land_again(plant: Plant, call: Callable[..., Any]) -> None:
    plant.send(("d1", plant.event("d1", 0)), (GONE, plant.event(GONE, 0)), (GONE, plant.event(GONE, 1)))
    land(plant.job("land"))
    call("forget", GONE)
    for _ in range(2):
        land(plant.job("land"))
    plant.send(("d1", plant.event("d1", 1)))
    land(plant.job("land"))
    keys = read_table(plant.settings, plant.fleet.fleet, "bronze", ["key"])["key"].to_pylist()
    assert sorted(keys) == [b"d1", b"d1"]
    assert held(plant.settings, plant.fleet.fleet, "bronze", "land").number == 3


def test_erased_records_at_the_end_of_bronze_count_as_landed() -> None:
    import numpy as np

    landed, erased = {("e", 0): 5, ("e", 1): 5}, {("e", 0): np.array([2, 5, 6, 8]), ("e", 2): np.array([0])}
    assert passed_over(landed, erased) == {("e", 0): 7, ("e", 1): 5}


@pytest.mark.broker
def test_a_snapshot_on_the_state_topic_becomes_the_note_of_a_forgotten_device(plant: Plant) -> None:
    topic, fleet = topic_names(plant.fleet).state, plant.fleet
    state = DeviceState.of(fleet)
    (slot,) = state.slots([GONE])
    with ExclusiveWriter(plant.settings, fleet, "test", "write") as writer:
        record = device_record(GONE, 0, state.pack(slot))
        writer.write([Write(topic, record.key, record.value)])

    first, second = (forget_state(plant.settings, fleet, GONE, True, False) for _ in range(2))

    assert (first.snapshots, second.snapshots, first.scoring) == (1, 0, False)
    *_, newest = [r for r in read_all(plant.settings, topic) if r.key == GONE.encode()]
    assert newest.value is not None
    assert packed_of(newest.value) == b""


@pytest.mark.broker
def test_alerts_of_a_forgotten_device_are_resolved_and_their_rules_have_no_state(plant: Plant) -> None:
    names, fleet = topic_names(plant.fleet), plant.fleet
    home, now = partition_of(GONE.encode(), fleet.topics.partitions), datetime(2026, 12, 1, tzinfo=UTC)
    alert = fired(fleet, "hot", AlertRule(when="s2 > 1"), GONE, "hot:e/0/7", 0, silent_ground(fleet, 0, 7))
    saved = {"hot": SavedRule("d", FIRING, 0, 0, alert), "slow": SavedRule("d", PENDING, 1, 5, None)}
    with ExclusiveWriter(plant.settings, fleet, "test", "write") as writer:
        record = rules_record(GONE, encode_saved(saved))
        writer.write([Write(names.state, record.key, record.value, (), home)])

    forget_state(plant.settings, fleet, GONE, False, False)
    forget_state(plant.settings, fleet, GONE, False, False)  # finds nothing to do

    (ended,) = read_all(plant.settings, names.alerts)
    assert (ended.partition, ended.key) == (home, GONE.encode())
    said = json.loads(ended.value or b"")
    assert (said["alert_id"], said["status"], said["reason"]) == ("hot:e/0/7", "resolved", "forgotten")
    assert datetime.fromisoformat(said["ends_at"]) > now
    with LogReader(plant.settings) as reader:
        assert read_saved(reader, names.state, [home])[home].rules == {}


@pytest.mark.broker
def test_a_snapshot_that_is_ahead_of_the_group_is_replaced_as_well(plant: Plant) -> None:
    """As after a person has set the group's offset back."""
    topic, home = topic_names(plant.fleet).state, partition_of(GONE.encode(), plant.fleet.topics.partitions)
    ahead = device_record(GONE, 70, b"packed")
    with ExclusiveWriter(plant.settings, plant.fleet, "test", "write") as writer:
        writer.write([Write(topic, ahead.key, ahead.value, (), home)])

    forget_state(plant.settings, plant.fleet, GONE, True, False)

    with LogReader(plant.settings) as reader:
        kept = read_saved(reader, topic, [home])[home].devices[GONE.encode()]
    assert (offset_of(kept), packed_of(kept)) == (70, b"")
