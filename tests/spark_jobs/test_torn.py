"""Files that are cut off, as jobs and readers without Spark come upon them."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aimaas.errors import LakeError
from aimaas.lake import read_table, table_path
from aimaas.lake.torn_files import torn_error
from spark_jobs.admit import admit
from spark_jobs.failures import explained
from spark_jobs.land import land

if TYPE_CHECKING:
    from tests.spark_jobs.conftest import Plant


@pytest.mark.broker
@pytest.mark.spark
def test_a_torn_file_is_named_with_what_makes_it_again(plant: Plant) -> None:
    plant.send(*[("d1", plant.event("d1", i)) for i in range(20)])
    land(plant.job("land"))
    (file,) = Path(table_path(plant.settings, plant.fleet.fleet, "bronze")).rglob("part-*.parquet")
    os.truncate(file, file.stat().st_size // 2)

    with pytest.raises(LakeError, match=rf"{file}: cannot be read .*run the land job again"):
        read_table(plant.settings, plant.fleet.fleet, "bronze")
    with pytest.raises(Exception, match=re.escape(file.name)) as raised:
        admit(plant.job("admit"))
    known = explained(raised.value, [])
    assert str(known) == str(torn_error(str(file)))


def test_a_full_disk_is_told_with_the_room_that_is_left(tmp_path: Path) -> None:
    known = explained(OSError(errno.ENOSPC, "No space left on device"), [str(tmp_path), "s3a://plant/lake"])
    assert str(known).startswith(f"disk full: {tmp_path} has ")
    assert "run this job again" in str(known)


def test_what_no_user_can_mend_is_not_explained_away() -> None:
    assert explained(KeyError("x"), []) is None
