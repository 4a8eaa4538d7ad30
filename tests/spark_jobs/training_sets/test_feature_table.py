"""Features kept from version to version of gold are those of a whole pass with the same fit, to the bit."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from aimaas.errors import LakeError
from aimaas.fleet import FleetSpec
from aimaas.kernel.fit import Fit
from aimaas.kernel.plan import plan_of
from aimaas.lake import find_table, held, read_table, table_version
from aimaas.settings import Settings
from aimaas.training.rows import ROWS, digest_of, read_rows
from aimaas.training.training_set import TrainingSetInfo, read_info
from spark_jobs import features as features_job
from spark_jobs.as_of import gold_as_of, outcomes_as_of
from spark_jobs.features import feature_rows, features
from spark_jobs.sources import sources_of
from spark_jobs.training_sets import feature_table, fits
from spark_jobs.training_sets.kernel_pass import table_pass
from spark_jobs.training_sets.labels import run_ends
from tests.spark_jobs.arrivals import DEVICES, Arrivals
from tests.spark_jobs.corrected_view.test_corrected import LIMITS, KilledError, Lake, kill
from tests.spark_jobs.training_sets.test_as_of import compact_and_vacuum
from upkeep.erasing.device import Device
from upkeep.erasing.forget import forget, search
from upkeep.maintenance.maintain import maintain

pytestmark = [pytest.mark.spark, pytest.mark.timeout(1_200)]

Rows = dict[tuple[str, int, int], int]


def lake_that_keeps(spark: Any, settings: Settings, make_fleet: Callable[..., FleetSpec], growth: float) -> Lake:
    training = {"candidates": {"ridge": {}}, "refit_growth": growth}
    fleet = make_fleet(limits=LIMITS, topics={"partitions": 2}, training=training)
    return Lake(spark, settings, fleet)


@pytest.fixture
def lake(spark: Any, offline_settings: Settings, make_fleet: Callable[..., FleetSpec]) -> Lake:
    """A lake whose fleet keeps a fit while the training rows grow to ten times as many."""
    return lake_that_keeps(spark, offline_settings, make_fleet, 9)


def frozen(lake: Lake, folder: Path, as_of: int | None = None) -> TrainingSetInfo:
    """The training set of gold as it is, or as it was at a version."""
    given = {} if as_of is None else {"as_of": str(as_of)}
    features(lake.job("features", out=str(folder), **given))
    return read_info(folder)


def whole_pass(lake: Lake, version: int, fit: Fit, folder: Path) -> str:
    """Digest of the rows that the kernel makes of all of gold at a version in one go."""
    job, plan = lake.job("features"), plan_of(lake.fleet)
    ends = run_ends(outcomes_as_of(job, sources_of(lake.settings, lake.fleet, version).outcomes))
    rows = feature_rows(lake.fleet, plan, fit, gold_as_of(job, version), ends)
    rows.write.parquet(str(folder / ROWS))
    return digest_of(read_rows(folder, len(plan.feature_names)))


def assert_as_by_whole_pass(lake: Lake, info: TrainingSetInfo, folder: Path) -> None:
    assert info.digest == whole_pass(lake, info.gold_version, info.fit, folder)
    assert sum(counts.rows for counts in info.splits.values()) > 0


def passed(lake: Lake) -> Rows:
    """Rows of the table that count: the number of the commit that made each."""
    table = read_table(lake.settings, lake.fleet.fleet, "features").to_pylist()
    since = {r["device_id"]: r["since"] for r in table if r["kind"] == "state"}
    rows = [r for r in table if r["kind"] == "rows" and r["number"] >= since[r["device_id"]]]
    found = {(r["device_id"], r["run"], r["order"]): r["number"] for r in rows}
    assert len(found) == len(rows), "one row counts at each place"
    return found


def files_of_rows(lake: Lake) -> set[str]:
    """The files of the table's newest version that hold feature rows."""
    found = find_table(lake.settings, lake.fleet.fleet, "features")
    assert found is not None
    return {path for path in found.file_uris() if "kind=rows" in path}


def gold_places(lake: Lake) -> set[tuple[str, int, int]]:
    return {(r["device_id"], r["run"], r["order"]) for r in lake.rows().to_pylist()}


@pytest.mark.long
def test_features_gone_on_with_are_those_of_a_whole_pass_whatever_came_and_whatever_was_killed(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrivals = Arrivals(lake.fleet, 2)

    def killed_before(module: Any, step: str, part: int) -> None:
        with monkeypatch.context() as killing, pytest.raises(KilledError):
            killing.setattr(module, step, kill)
            frozen(lake, tmp_path / f"{part}")

    for part in range(6):
        lake.receive(arrivals.some(120))
        lake.gold()
        if part == 2:
            arrivals.silence(600)
            continue  # the next run has two parts to take
        if part == 0:
            killed_before(fits, "commit", part)
        if part in (0, 3):
            killed_before(feature_table, "commit", part)
        if part in (1, 4):
            killed_before(features_job, "labelled_rows", part)
        info = frozen(lake, tmp_path / f"{part}")
        assert info.fit_gold_version == 0
        assert set(passed(lake)) == gold_places(lake)
        assert_as_by_whole_pass(lake, info, tmp_path / f"{part}-whole")
    numbers = list(passed(lake).values())
    assert len(set(numbers)) > 2, "rows of several runs count: not all went through the kernel again"
    assert held(lake.settings, lake.fleet.fleet, "features", "features").number == 5, (
        "what was committed is not made again"
    )


@pytest.mark.long
def test_the_kernel_gets_new_rows_and_whole_devices_only_where_an_event_came_late(lake: Lake, tmp_path: Path) -> None:
    arrivals = Arrivals(lake.fleet, 1)
    lake.receive([arrivals.event(d, 0, seq) for seq in range(30) if seq != 7 for d in DEVICES])
    lake.gold()
    frozen(lake, tmp_path / "first")
    assert set(passed(lake).values()) == {1}
    files = files_of_rows(lake)

    new = [arrivals.event(d, 0, seq) for seq in (30, 31) for d in DEVICES[:4]]
    lake.receive([*new, arrivals.event("d1", 0, 7), arrivals.event("d5", 0, 7)])
    lake.gold()
    info = frozen(lake, tmp_path / "second")

    by_kernel = {place for place, number in passed(lake).items() if number == 2}
    late = {place for place in gold_places(lake) if place[0] in ("d1", "d5")}
    assert by_kernel == late | {(d, 0, seq) for d in ("d0", "d2", "d3") for seq in (30, 31)}
    assert files < files_of_rows(lake), "no file of rows is written again"
    assert_as_by_whole_pass(lake, info, tmp_path / "whole")


@pytest.mark.long
def test_a_late_outcome_relabels_without_a_row_through_the_kernel(lake: Lake, tmp_path: Path) -> None:
    arrivals = Arrivals(lake.fleet, 1)
    lake.receive([arrivals.event(d, 0, seq) for seq in range(25) for d in DEVICES])
    lake.gold()
    before, version = frozen(lake, tmp_path / "before"), table_version(lake.settings, lake.fleet.fleet, "features")

    lake.receive([arrivals.outcome(d, 0, 26) for d in DEVICES[:6]])
    lake.gold()
    after = frozen(lake, tmp_path / "after")

    assert table_version(lake.settings, lake.fleet.fleet, "features") == version
    assert after.splits["train"].rows > before.splits["train"].rows
    assert_as_by_whole_pass(lake, after, tmp_path / "whole")


@pytest.mark.long
def test_a_set_made_again_takes_the_fit_of_then_also_when_the_table_has_moved_on(lake: Lake, tmp_path: Path) -> None:
    arrivals = Arrivals(lake.fleet, 3)
    sets = []
    for part in range(3):
        lake.receive(arrivals.some(150))
        lake.gold()
        sets.append(frozen(lake, tmp_path / f"{part}"))
    moved_on = table_version(lake.settings, lake.fleet.fleet, "features")
    assert [info.fit_gold_version for info in sets] == [0, 0, 0]
    assert len({info.digest for info in sets}) == 3

    for info in sets:
        assert frozen(lake, tmp_path / f"again-{info.gold_version}", info.gold_version) == info
    compact_and_vacuum(lake)
    assert frozen(lake, tmp_path / "vacuumed", sets[1].gold_version) == sets[1]
    assert table_version(lake.settings, lake.fleet.fleet, "features") == moved_on


@pytest.mark.long
def test_a_fit_is_kept_until_the_training_rows_have_grown_by_more_than_the_share(
    spark: Any, offline_settings: Settings, make_fleet: Callable[..., FleetSpec], tmp_path: Path
) -> None:
    lake = lake_that_keeps(spark, offline_settings, make_fleet, 0.5)
    arrivals = Arrivals(lake.fleet, 1)
    sets = []
    for part, seqs in enumerate((range(30), range(30, 45), range(45, 46), range(46, 47))):
        lake.receive([arrivals.event(d, 0, seq) for seq in seqs for d in DEVICES])
        lake.gold()
        sets.append(frozen(lake, tmp_path / f"{part}"))
        assert_as_by_whole_pass(lake, sets[-1], tmp_path / f"{part}-whole")

    assert [info.fit_gold_version for info in sets] == [0, 0, 2, 2], "half as many more are allowed, not one more"
    assert sets[1].fit != sets[2].fit
    assert set(passed(lake).values()) == {3, 4}, "the table was written whole for the new fit, then gone on with"
    assert [frozen(lake, tmp_path / f"again-{i}", i) for i in range(4)] == sets
    rows = read_table(lake.settings, lake.fleet.fleet, "fits").to_pylist()
    assert sorted((r["gold_version"], r["fit_id"]) for r in rows) == [(0, sets[0].fit.id), (2, sets[2].fit.id)]


@pytest.mark.long
def test_what_the_fleet_file_says_anew_takes_a_new_fit_and_writes_the_table_whole(lake: Lake, tmp_path: Path) -> None:
    arrivals = Arrivals(lake.fleet, 1)
    lake.receive(arrivals.some(200))
    lake.gold()
    first = frozen(lake, tmp_path / "first")

    lake.fleet = lake.fleet.model_copy(update={"derived": {"stress": "heat + load"}})
    other_plan = frozen(lake, tmp_path / "plan")
    assert (other_plan.gold_version, other_plan.fit_gold_version) == (0, 0)
    assert other_plan.plan != first.plan and other_plan.fit != first.fit
    assert_as_by_whole_pass(lake, other_plan, tmp_path / "plan-whole")

    limits = lake.fleet.limits.model_copy(update={"silence_s": 2.0})
    lake.fleet = lake.fleet.model_copy(update={"limits": limits})
    lake.gold()
    other_silence = frozen(lake, tmp_path / "silence")
    assert other_silence.fit_gold_version == other_silence.gold_version == 1, "gold was written anew"
    assert set(passed(lake).values()) == {3}
    assert_as_by_whole_pass(lake, other_silence, tmp_path / "silence-whole")


@pytest.mark.long
def test_without_the_share_nothing_is_kept_and_each_fit_is_new(
    spark: Any, offline_settings: Settings, make_fleet: Callable[..., FleetSpec], tmp_path: Path
) -> None:
    lake = lake_that_keeps(spark, offline_settings, make_fleet, 0)
    arrivals = Arrivals(lake.fleet, 1)
    for part in range(2):
        lake.receive(arrivals.some(100))
        lake.gold()
        info = frozen(lake, tmp_path / f"{part}")
        assert info.fit_gold_version == info.gold_version == part
    assert [table_version(lake.settings, lake.fleet.fleet, table) for table in ("fits", "features")] == [None, None]


@pytest.mark.long
@pytest.mark.parametrize("module", [fits, feature_table])
def test_of_two_runs_at_once_one_fails_and_finds_the_work_done_when_run_again(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any
) -> None:
    lake.receive(Arrivals(lake.fleet, 1).some(100))
    lake.gold()
    real: Any = module.commit

    def overtaken(*arguments: Any) -> None:
        monkeypatch.setattr(module, "commit", real)
        frozen(lake, tmp_path / "other")
        real(*arguments)

    monkeypatch.setattr(module, "commit", overtaken)
    with pytest.raises(LakeError, match="another features job wrote to it meanwhile"):
        frozen(lake, tmp_path / "mine")
    assert frozen(lake, tmp_path / "mine") == read_info(tmp_path / "other")
    assert set(passed(lake)) == gold_places(lake)


@pytest.mark.long
def test_a_compaction_in_the_midst_of_a_write_makes_it_fail_and_the_next_run_finishes_it(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrivals = Arrivals(lake.fleet, 1)
    for part in range(3):
        lake.receive(arrivals.some(150))
        lake.gold()
        if part < 2:
            frozen(lake, tmp_path / f"{part}")
    settings, fleet = lake.settings, lake.fleet

    def slow_pass(*arguments: Any) -> Any:
        work = table_pass(*arguments)

        def compacted_meanwhile(batches: Any) -> Any:
            yield from work(batches)
            maintain(settings, fleet, datetime.now(UTC))

        return compacted_meanwhile

    with monkeypatch.context() as slow, pytest.raises(LakeError, match="wrote to it meanwhile"):
        slow.setattr(feature_table, "table_pass", slow_pass)
        frozen(lake, tmp_path / "2")
    assert_as_by_whole_pass(lake, frozen(lake, tmp_path / "2"), tmp_path / "whole")


@pytest.mark.long
def test_superseded_rows_are_dropped_once_they_are_many(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_table, "_MOST", 2)
    arrivals, sizes = Arrivals(lake.fleet, 1), []
    lake.receive([arrivals.event(d, 0, seq) for seq in range(0, 20, 2) for d in DEVICES])
    lake.receive([arrivals.outcome(d, 0, 25) for d in DEVICES])
    for part in range(4):
        lake.receive([arrivals.event(d, 0, 2 * part + 1) for d in DEVICES])  # late: all devices are passed whole
        lake.gold()
        info = frozen(lake, tmp_path / f"{part}")
        sizes.append(read_table(lake.settings, lake.fleet.fleet, "features").num_rows)
        assert_as_by_whole_pass(lake, info, tmp_path / f"{part}-whole")
    n = len(DEVICES)
    assert sizes == [n * (11 + 1), n * (11 + 12 + 1), n * (11 + 12 + 13 + 1), n * (14 + 1)]


@pytest.mark.long
def test_kept_features_outlive_maintenance_and_a_forgotten_device_is_erased_with_its_state(
    lake: Lake, tmp_path: Path
) -> None:
    arrivals, now = Arrivals(lake.fleet, 1), datetime(2026, 11, 25, tzinfo=UTC)
    settings, fleet = lake.settings, lake.fleet
    for part in range(3):
        lake.receive(arrivals.some(100))
        lake.gold()
        frozen(lake, tmp_path / f"{part}")
    before = passed(lake)
    tables = {d.table: d for d in maintain(settings, fleet, now)[0]}
    assert tables["features"].compacted > tables["features"].after.files > 0
    assert passed(lake) == before

    gone = Device("d2")
    forget(settings, fleet, gone, search(settings, fleet, gone), {}, now, False)
    assert not search(settings, fleet, gone).anything
    assert {place[0] for place in passed(lake)} == set(DEVICES) - {"d2"}
    kinds = read_table(settings, fleet.fleet, "features").select(["device_id", "kind"]).to_pylist()
    assert {(r["device_id"], r["kind"]) for r in kinds} == {
        (d, kind) for d in DEVICES if d != "d2" for kind in ("rows", "state")
    }

    lake.receive([*arrivals.some(100), arrivals.event("d2", 9, 0)])  # what it sends from now on is a new device's
    lake.gold()
    info = frozen(lake, tmp_path / "after")
    assert info.fit_gold_version == 0
    assert len(set(passed(lake).values())) > 1, "the table was gone on with"
    assert_as_by_whole_pass(lake, info, tmp_path / "whole")
