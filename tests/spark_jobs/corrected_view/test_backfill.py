"""An older half, backfilled after the newer one went through the stream: gold and features are those of the whole in order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from aimaas.errors import LakeError
from aimaas.kafka import create_topics, delete_topics, end_offsets
from aimaas.kernel.plan import plan_of
from aimaas.lake import read_table, table_version
from aimaas.lake.history import HISTORY, history_ends, write_history
from aimaas.topics import topic_names, topic_specs
from aimaas.training.rows import read_rows
from spark_jobs.admit import admit
from spark_jobs.features import features
from spark_jobs.land import land
from spark_jobs.sources import gold_is_behind
from stream.replay import backfill
from stream.replay.backfill import Backfilled, backfill_file
from stream.replay.mapping.schema import ReplayError
from stream.replay.replay import replay_file
from tests.published import gold
from tests.spark_jobs.conftest import Plant, small_fleet
from upkeep.erasing.device import Device
from upkeep.erasing.forget import forget, search
from upkeep.reconcile.history import backfilled_on

if TYPE_CHECKING:
    from aimaas.fleet import FleetSpec

pytestmark = [pytest.mark.broker, pytest.mark.spark, pytest.mark.timeout(900)]

DEVICES = [f"d{i}" for i in range(24)]
FAILS, ROWS, HALF = 12, 30, 17  # rows of a device; run 0 ends before FAILS, and the newer half begins at HALF
BEGAN = datetime(2026, 3, 1, tzinfo=UTC)
MAPPING: dict[str, Any] = {
    "device": "id", "run": "life", "seq": "n", "ts": "t",
    "readings": {"mode": "m", "heat": "h", "load": "l"}, "outcome": {"column": "state", "failed": "broken", "optional": True},
}  # fmt: skip
COLUMNS = ["device_id", "run", "order", "seq", "ts", "mode", "heat", "load", "split", "late"]


def line_of(device: str, n: int) -> str:
    number = DEVICES.index(device)
    ts = (BEGAN + timedelta(minutes=n, seconds=number)).isoformat()
    load = "" if n % 5 == 3 else f"{(n * 7 + number) % 40 - 20}.25"
    broken = n in (FAILS - 1, ROWS - 1) and number != 3
    return f"{device},{int(n >= FAILS)},{n},{ts},{n % 3},{300 + n + number / 8},{load},{'broken' if broken else 'ok'}"


def table(folder: Path, name: str, rows: range) -> Path:
    path = folder / f"{name}.csv"
    lines = [line_of(device, n) for n in rows for device in DEVICES]
    path.write_text("\n".join(["id,life,n,t,m,h,l,state", *lines]) + "\n")
    return path


def mapping(folder: Path, fleet: FleetSpec, **changes: Any) -> Path:
    path = folder / f"{fleet.fleet}.map.yaml"
    path.write_text(
        yaml.safe_dump({k: v for k, v in ({"fleet": fleet.fleet} | MAPPING | changes).items() if v is not None})
    )
    return path


@pytest.fixture
def twin(plant: Plant) -> Iterator[Plant]:
    """A fleet with another name and nothing else that differs."""
    fleet = small_fleet()
    create_topics(plant.settings, topic_specs(fleet))
    yield Plant(fleet, plant.settings, plant.session)
    delete_topics(plant.settings, [spec.name for spec in topic_specs(fleet)])


def to_gold(plant: Plant) -> dict[str, Any]:
    for name, work in (("land", land), ("admit", admit)):
        work(plant.job(name))
    return gold(plant.job("gold"))


def in_gold(plant: Plant) -> list[dict[str, Any]]:
    rows = read_table(plant.settings, plant.fleet.fleet, "gold", COLUMNS).to_pylist()
    return sorted(rows, key=lambda r: (r["device_id"], r["run"], r["order"]))


def trained_on(plant: Plant, folder: Path) -> dict[tuple[str, int, int], tuple[bytes, float, float]]:
    """Features (as bytes), label and weight of each row of a training set of gold as it is."""
    features(plant.job("features", out=str(folder)))
    rows = read_rows(folder, len(plan_of(plant.fleet).feature_names))
    places = zip(rows.device_id.tolist(), rows.run.tolist(), rows.order.tolist(), strict=True)
    values = zip(rows.features, rows.label.tolist(), rows.weight.tolist(), strict=True)
    return {place: (row.tobytes(), label, weight) for place, (row, label, weight) in zip(places, values, strict=True)}


def newer_then_older(plant: Plant, folder: Path, **options: Any) -> Backfilled:
    """Send the newer half, bring it to gold, and backfill the older one."""
    replay_file(plant.settings, plant.fleet, table(folder, "newer", range(HALF, ROWS)), mapping(folder, plant.fleet))
    to_gold(plant)
    return backfill_file(plant.settings, plant.fleet, table(folder, "older", range(HALF)), mapping(folder, plant.fleet))


def today(plant: Plant) -> tuple[dict[str, int | None], list[str]]:
    now = datetime.now(UTC)
    counts, gaps = backfilled_on(plant.settings, plant.fleet, now - timedelta(hours=12), now + timedelta(hours=12))
    return counts, [gap.what for gap in gaps]


def test_gold_and_features_are_those_of_the_whole_table_in_order(plant: Plant, twin: Plant, tmp_path: Path) -> None:
    replay_file(plant.settings, twin.fleet, table(tmp_path, "whole", range(ROWS)), mapping(tmp_path, twin.fleet))
    to_gold(twin)
    done = newer_then_older(plant, tmp_path)
    assert (done.events, done.outcomes, done.refused, done.again) == (HALF * 24, 23, {}, False)
    assert gold_is_behind(plant.settings, plant.fleet)
    assert today(plant) == ({"backfilled": HALF * 24, "refused": 0, "in_gold": 0}, ["backfilled and not in gold"])

    report = to_gold(plant)

    assert (report["rows"], report["added"]) == (ROWS * 24, HALF * 24)
    assert not gold_is_behind(plant.settings, plant.fleet)
    assert in_gold(plant) == in_gold(twin)
    labelled = read_table(plant.settings, plant.fleet.fleet, "gold", ["topic", "order"]).to_pylist()
    assert {r["order"] < HALF for r in labelled if r["topic"] == HISTORY} == {True}
    assert sum(r["topic"] == HISTORY for r in labelled) == HALF * 24
    mine, theirs = trained_on(plant, tmp_path / "mine"), trained_on(twin, tmp_path / "theirs")
    assert len(mine) > 300
    assert mine == theirs
    assert today(plant) == ({"backfilled": HALF * 24, "refused": 0, "in_gold": HALF * 24}, [])

    version, outcomes = table_version(plant.settings, plant.fleet.fleet, "history"), topic_names(plant.fleet).outcomes
    ends = end_offsets(plant.settings, outcomes)
    again = backfill_file(plant.settings, plant.fleet, tmp_path / "older.csv", mapping(tmp_path, plant.fleet))
    assert again == Backfilled(again=True)
    assert table_version(plant.settings, plant.fleet.fleet, "history") == version
    assert end_offsets(plant.settings, outcomes) == ends
    assert to_gold(plant)["added"] == 0


def test_a_backfill_that_was_killed_is_done_again_and_rows_that_gold_has_stay_as_they_are(
    plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(Exception): ...

    def kill(*_: object, **__: object) -> None:
        raise KilledError

    newer = table(tmp_path, "newer", range(HALF, ROWS))
    replay_file(plant.settings, plant.fleet, newer, mapping(tmp_path, plant.fleet))
    to_gold(plant)
    before = {(r["device_id"], r["order"]): r for r in in_gold(plant)}
    overlapping = table(tmp_path, "older", range(HALF + 3))
    too_hot = re.sub(rf"(?m)^(d1,1,{HALF + 1},[^,]*,[^,]*,)[^,]*", r"\g<1>5000", overlapping.read_text())
    overlapping.write_text(too_hot)
    with monkeypatch.context() as killing, pytest.raises(KilledError):
        killing.setattr(backfill, "write_history", kill)
        backfill_file(plant.settings, plant.fleet, overlapping, mapping(tmp_path, plant.fleet))
    assert table_version(plant.settings, plant.fleet.fleet, "history") is None

    done = backfill_file(plant.settings, plant.fleet, overlapping, mapping(tmp_path, plant.fleet))

    assert done.refused == {"out_of_range": 1}
    report = to_gold(plant)
    assert report["added"] == HALF * 24
    assert {
        place: r for place, r in {(r["device_id"], r["order"]): r for r in in_gold(plant)}.items() if place in before
    } == before
    assert today(plant) == ({"backfilled": (HALF + 3) * 24, "refused": 1, "in_gold": (HALF + 3) * 24 - 1}, [])


def test_rows_that_would_stand_behind_what_came_after_them_are_refused(plant: Plant, tmp_path: Path) -> None:
    newer_then_older(plant, tmp_path)
    version = table_version(plant.settings, plant.fleet.fleet, "history")
    later = table(tmp_path, "later", range(3))
    later.write_text(later.read_text().replace("d5,0,2,", "d5,7,2,"))

    with pytest.raises(
        ReplayError, match=r"device 'd5': a row of 2026-03-01T00:02:05Z has run 7, seq 2, .* run 1, seq 17"
    ):
        backfill_file(plant.settings, plant.fleet, later, mapping(tmp_path, plant.fleet))
    for left_out, said in (("seq", "needs the counter"), ("ts", "needs the time")):
        with pytest.raises(ReplayError, match=said):
            backfill_file(plant.settings, plant.fleet, later, mapping(tmp_path, plant.fleet, **{left_out: None}))
    assert table_version(plant.settings, plant.fleet.fleet, "history") == version


def test_a_forgotten_device_is_gone_from_history_and_its_offsets_are_not_given_again(
    plant: Plant, tmp_path: Path
) -> None:
    newer_then_older(plant, tmp_path)
    to_gold(plant)
    device, ends = Device(DEVICES[-1]), history_ends(plant.settings, plant.fleet.fleet)
    found = search(plant.settings, plant.fleet, device)
    assert found.counts["history"] == HALF
    forget(plant.settings, plant.fleet, device, found, {}, datetime.now(UTC), dry_run=False)

    assert not search(plant.settings, plant.fleet, device).anything
    assert history_ends(plant.settings, plant.fleet.fleet) == ends
    more = tmp_path / "more.csv"
    more.write_text("id,life,n,t,m,h,l,state\nnew,0,0,2026-02-01T00:00:00Z,1,301,2,ok\n")
    backfill_file(plant.settings, plant.fleet, more, mapping(tmp_path, plant.fleet, outcome=None))
    (offset,) = (
        read_table(plant.settings, plant.fleet.fleet, "history", ["offset", "key"])
        .to_pandas()
        .query("key == b'new'")
        .offset
    )
    assert {("history", 0): offset} == ends
    assert to_gold(plant)["added"] == 1


def test_of_two_backfills_at_once_one_is_refused(plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = table(tmp_path, "first", range(3)), table(tmp_path, "second", range(3, 6))

    def other_first(*given: Any) -> None:
        monkeypatch.setattr(backfill, "write_history", write_history)
        backfill_file(plant.settings, plant.fleet, first, mapping(tmp_path, plant.fleet))
        write_history(*given)

    monkeypatch.setattr(backfill, "write_history", other_first)
    with pytest.raises(LakeError, match="run this again"):
        backfill_file(plant.settings, plant.fleet, second, mapping(tmp_path, plant.fleet))
    backfill_file(plant.settings, plant.fleet, second, mapping(tmp_path, plant.fleet))

    rows = read_table(plant.settings, plant.fleet.fleet, "history", ["offset"])["offset"].to_pylist()
    assert sorted(rows) == list(range(6 * 24))
