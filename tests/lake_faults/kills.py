"""Each job killed twice and run again; and what they go on from is lost."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from deltalake import DeltaTable

from aimaas.lake import Table, read_table
from aimaas.training.training_set import DESCRIPTION
from tests.lake_faults.conftest import TABLES, TO_GOLD, Twins, set_of
from tests.lake_faults.moments import BeforeCommit, new_file
from tests.stream.conftest import register_model, tiny_model

pytestmark = [pytest.mark.broker, pytest.mark.spark, pytest.mark.timeout(1_500)]

# the table whose file is waited for, then the commits before which a job is killed and the tables that these are of
WRITES: dict[str, tuple[Table, dict[int, Table]]] = {
    "land": ("bronze", {1: "bronze"}),
    "admit": ("silver", {4: "admission_state"}),  # the other three are committed by then
    "gold": ("gold", {1: "gold", 2: "gold_state"}),
}


def kill_driver(twins: Twins, job: str, moment: Callable[[], bool], **environ: str) -> None:
    """Kill the driver of a job at a moment; the Python that is left says so in one line."""
    running = twins.start(job, **environ)
    running.wait_until(moment)
    ended = running.kill_driver()
    assert (ended.code, ended.is_clear) == (1, True), ended
    assert "Spark's driver ended in the middle of the work" in ended.told


def test_jobs_killed_at_a_first_file_and_before_their_commits_end_in_the_undisturbed_tables(
    twins: Twins, tmp_path: Path
) -> None:
    twins.history()
    twins.undisturbed(*TO_GOLD, "features")
    for job, (table, commits) in WRITES.items():
        before = twins.version(table)
        running = twins.start(job)
        running.wait_until(new_file(twins.folder(table)))
        assert running.kill().code == -9
        assert twins.version(table) == before
        for nth, committed in commits.items():
            before = twins.version(committed)
            with closing(BeforeCommit(tmp_path / f"{job}-{nth}", nth)) as moment:
                kill_driver(twins, job, moment, **moment.environ)
            assert twins.version(committed) == before
        twins.run_again(job)
    twins.assert_equal()

    out = set_of(twins.other)
    running = twins.start("features")
    running.wait_until(new_file(out))
    assert running.kill().code == -9
    (out / "rows" / "_SUCCESS").unlink(missing_ok=True)
    kill_driver(twins, "features", new_file(out, "_SUCCESS"))
    assert not (out / DESCRIPTION).exists()
    twins.run_again("features")
    twins.assert_same_set()


def test_a_rebuild_and_a_rescoring_killed_twice_and_run_again_end_in_the_undisturbed_tables(
    twins: Twins, tmp_path: Path
) -> None:
    twins.history()
    twins.undisturbed(*TO_GOLD)
    twins.run_again(*TO_GOLD)
    day = max(read_table(twins.other, twins.plant.fleet.fleet, "silver", ["day"])["day"].to_pylist())
    for table in ("silver", "quarantine"):
        DeltaTable(str(twins.folder(table))).delete(f"day = DATE '{day}'")
    lost = twins.version("silver"), twins.version("quarantine")
    twins.asked = {"rebuild": {"day": day, "rejudge": False}}
    running = twins.start("rebuild")
    running.wait_until(new_file(twins.folder("silver")))
    assert running.kill().code == -9
    assert (twins.version("silver"), twins.version("quarantine")) == lost
    with closing(BeforeCommit(tmp_path / "rebuild", 2)) as moment:
        kill_driver(twins, "rebuild", moment, **moment.environ)
    assert twins.version("silver") != lost[0], "the first of the two is put right"
    assert twins.version("quarantine") == lost[1]
    twins.run_again("rebuild")
    twins.assert_equal("silver", "quarantine", "outcomes")

    fleet, settings = twins.plant.fleet, twins.plant.settings
    version = register_model(settings, fleet, settings.home / "trained", tiny_model(fleet))
    twins.asked = {"rescore": {"version": version, "first": None, "last": None}}
    twins.undisturbed("rescore")
    running = twins.start("rescore")
    running.wait_until(new_file(twins.folder("rescored")))
    assert running.kill().code == -9
    with closing(BeforeCommit(tmp_path / "rescore", 1)) as moment:
        kill_driver(twins, "rescore", moment, **moment.environ)
    assert twins.version("rescored") is None
    twins.run_again("rescore")
    twins.assert_equal("rescored")


def lose_checkpoints(twins: Twins) -> None:
    """Spark's scratch, Delta's checkpoints with the pointers to them, and the tables that jobs go on from."""
    shutil.rmtree(twins.other.home / "spark", ignore_errors=True)
    for state in ("admission_state", "gold_state"):
        shutil.rmtree(twins.folder(state))
    for table in TABLES:
        for pattern in ("_last_checkpoint", "*.checkpoint*", "*.crc", ".*.crc"):
            for file in (twins.folder(table) / "_delta_log").glob(pattern):
                file.unlink()


def test_the_loss_of_every_checkpoint_leaves_no_gap_and_no_duplicate(twins: Twins) -> None:
    twins.history()
    for table in TABLES:
        DeltaTable(str(twins.folder(table))).create_checkpoint()
    lose_checkpoints(twins)
    twins.undisturbed(*TO_GOLD)
    twins.run_again(*TO_GOLD)
    twins.assert_equal()
