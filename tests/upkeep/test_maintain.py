"""Maintenance beside the jobs, on real tables of theirs."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from deltalake import write_deltalake

from aimaas.fleet import FleetSpec
from aimaas.lake import find_table, held, read_table, table_version
from aimaas.settings import Settings
from spark_jobs.admit import admit, beyond, find_portion
from spark_jobs.commits import commit, note_of
from spark_jobs.land import Landing, ask_topics, land, read_topics
from spark_jobs.session import read_version
from tests.published import gold
from upkeep.maintenance.maintain import _compact, maintain
from upkeep.maintenance.pages import prune_pages

if TYPE_CHECKING:
    from tests.spark_jobs.conftest import Plant

NOW = datetime(2026, 11, 25, tzinfo=UTC)


def rows(plant: Plant, table: Any) -> list[tuple[Any, ...]]:
    columns = ["topic", "partition", "offset"]
    found = read_table(plant.settings, plant.fleet.fleet, table, columns).to_pydict()
    return sorted(zip(*(found[c] for c in columns), strict=True))


@pytest.mark.long
@pytest.mark.broker
@pytest.mark.spark
def test_a_compaction_amid_running_jobs_loses_and_doubles_nothing(plant: Plant, spark: Any) -> None:
    settings, fleet = plant.settings, plant.fleet
    for hour in range(3):
        plant.send(*[(f"d{i}", plant.event(f"d{i}", seq)) for seq in range(4 * hour, 4 * hour + 4) for i in range(4)])
        for name, work in (("land", land), ("admit", admit), ("gold", gold)):
            work(plant.job(name))
    plant.send(("d1", plant.event("d1", 20)))
    seen, (begin, end) = held(settings, fleet.fleet, "bronze", "land"), ask_topics(settings, fleet)
    made_of = note_of(held(settings, fleet.fleet, "gold", "gold"))
    first_gold = table_version(settings, fleet.fleet, "gold")
    assert first_gold is not None

    done, _ = maintain(settings, fleet, NOW)

    tables = {d.table: d for d in done}
    assert tables["bronze"].compacted > tables["bronze"].after.files > 0
    assert (tables["gold"].after.rows, tables["gold"].before.rows) == (48, 48)
    assert tables["gold"].after.files < tables["gold"].before.files
    assert note_of(held(settings, fleet.fleet, "gold", "gold")) == made_of
    assert read_version(spark, settings, fleet, "gold", first_gold).count() == 48, "the files of before stay for a week"
    assert [d.compacted for d in maintain(settings, fleet, NOW)[0]] == [0] * len(done), "nothing is left to do"

    landing = Landing({at: seen.offsets.get(at, begin[at]) for at in end}, end)
    commit(
        settings, fleet, "bronze", "land", read_topics(spark, settings, landing), seen
    )  # looked before the compaction
    portion = find_portion(settings, fleet)
    assert portion is not None
    assert read_version(spark, settings, fleet, "bronze", portion.version).where(beyond(portion.start)).count() == 1
    for name, work in (("land", land), ("admit", admit), ("gold", gold)):
        work(plant.job(name))
    for table in ("bronze", "silver", "gold"):
        assert len(rows(plant, table)) == len(set(rows(plant, table))) == 49

    looked = find_table(settings, fleet.fleet, "gold")
    assert looked is not None
    write_deltalake(looked.table_uri, looked.to_pyarrow_table(), mode="overwrite")
    assert _compact(looked) == (0, True), "gold was written anew meanwhile: left to the next night"
    assert len(rows(plant, "gold")) == 49


def test_only_what_no_job_can_need_is_deleted(offline_settings: Settings, make_fleet: Callable[..., FleetSpec]) -> None:
    import pyarrow as pa

    fleet = make_fleet()
    folder = Path(offline_settings.lake) / fleet.fleet / "gold"
    for i in range(3):
        write_deltalake(str(folder), pa.table({"device_id": ["d"], "order": [i]}), mode="append")
    for name, age_days in (("running.parquet", 0), ("left-by-a-kill.parquet", 9)):
        (folder / name).write_bytes(b"")
        os.utime(folder / name, (time.time() - age_days * 86_400,) * 2)

    would, _ = maintain(offline_settings, fleet, NOW, dry_run=True)
    assert (would[0].deleted, would[0].compacted, (folder / "left-by-a-kill.parquet").exists()) == (1, 0, True)
    (done,), _ = maintain(offline_settings, fleet, NOW)

    assert (done.before.files, done.after.files, done.after.rows, done.deleted) == (3, 1, 3, 1)
    assert sorted(p.name for p in folder.glob("*kill*")) == []
    assert (folder / "running.parquet").exists(), "a job may be about to commit it"


def test_old_pages_go_and_the_newest_of_each_suite_stays(tmp_path: Path) -> None:
    def page(name: str, age_days: int) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({}))
        at = (NOW - timedelta(days=age_days)).timestamp()
        for touched in (path, path.parent):
            os.utime(touched, (at, at))
        return path

    old, kept = [page(f"{part}/mill_silver/v{v}/p.json", 200 - v) for part in PARTS for v in (1, 2)], []
    kept += [page(f"{part}/mill_silver/v3/p.json", 10) for part in PARTS]
    kept += [page(f"{part}/mill_gold/v1/p.json", 300) for part in PARTS]

    assert prune_pages(tmp_path, NOW - timedelta(days=90), dry_run=True) == len(old)
    assert prune_pages(tmp_path, NOW - timedelta(days=90)) == len(old)
    assert ([p.exists() for p in old], [p.exists() for p in kept]) == ([False] * 4, [True] * 4)


PARTS = ("results/validations", "site/validations")
