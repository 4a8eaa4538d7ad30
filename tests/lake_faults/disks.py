"""A disk that is full, and files that are cut off: a clear error, and nothing lost."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from aimaas.lake import Table
from tests.lake_faults.conftest import TO_GOLD, Twins

pytestmark = [pytest.mark.broker, pytest.mark.spark, pytest.mark.timeout(1_500)]
LEFT_BYTES = 8 * 1024  # the first file of a write can be begun


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few megabytes; only root can mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(disk: Path) -> Path:
    """Leave `LEFT_BYTES`; the file that takes the rest."""
    ballast = disk / "ballast"
    ballast.write_bytes(b"\0" * max(shutil.disk_usage(disk).free - LEFT_BYTES, 0))
    return ballast


def test_a_full_disk_is_told_in_one_line_and_loses_nothing(twins: Twins, small_disk: Path) -> None:
    twins.other = replace(twins.other, lake=str(small_disk / "lake"))
    twins.history()
    twins.undisturbed(*TO_GOLD, "features")
    for job in (*TO_GOLD, "features"):
        ballast = fill(small_disk)
        ended = twins.run(job)
        assert (ended.code, ended.is_clear) == (1, True), ended
        assert f"{job}: disk full: {small_disk}" in ended.told
        ballast.unlink()
        twins.run_again(job)
    twins.assert_equal()
    twins.assert_same_set()


def cut_off(folder: Path) -> Path:
    """Cut the newest data file in half; the whole one lies beside it as `.whole`."""
    file = max(set(folder.rglob("*.parquet")) - set(folder.rglob("_delta_log/*")), key=lambda f: f.stat().st_mtime_ns)
    shutil.copy(file, file.with_suffix(".whole"))
    os.truncate(file, file.stat().st_size // 2)
    return file


@pytest.mark.parametrize(
    ("table", "job", "away"),
    [
        ("bronze", "admit", ()),
        ("silver", "gold", ("silver", "quarantine", "outcomes", "admission_state")),
        ("gold", "features", ("gold", "gold_state")),
    ],
)
def test_a_torn_file_is_named_and_what_the_message_says_brings_everything_back(
    twins: Twins, table: Table, job: str, away: tuple[Table, ...]
) -> None:
    twins.history()
    steps = (*TO_GOLD, "features")
    twins.run_again(*steps[: steps.index(job)])
    twins.undisturbed(*steps)
    torn = cut_off(twins.folder(table))
    ended = twins.run(job)
    assert (ended.code, ended.is_clear) == (1, True), ended
    assert str(torn) in ended.told
    if away:
        for one in away:
            assert one in ended.told
            shutil.rmtree(twins.folder(one))
    else:  # back from a backup
        torn.with_suffix(".whole").replace(torn)
    twins.run_again(*steps)
    twins.assert_equal()
    twins.assert_same_set()
