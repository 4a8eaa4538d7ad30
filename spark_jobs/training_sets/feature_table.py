"""The table `features`: feature rows of gold for one plan and fit, without labels, and each device's kernel state after them.

A run sends only new rows through the kernel (`new_rows`). Its commit appends the feature rows, with the number of the commit, and
replaces the state of all devices. If a device was computed from its beginning, its older rows stay in the files, and its state says
`since` which number its rows count. Once there are many of these superseded rows, the table is written as a whole.

The commit's note names the rows of gold, the plan and the fit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from aimaas.errors import LakeError
from aimaas.fleet import FleetSpec
from aimaas.kernel.fit import Fit
from aimaas.kernel.plan import FeaturePlan
from aimaas.labels.censoring import Censoring
from aimaas.lake import Held, held, row_count, table_path, table_version
from spark_jobs.commits import Replace, commit, note_of
from spark_jobs.corrected_view.frames import between
from spark_jobs.corrected_view.rows_to_recompute import all_rows, new_rows
from spark_jobs.job import Job
from spark_jobs.schemas import ENDS, LIFE
from spark_jobs.session import read_version
from spark_jobs.sources import Sources, known_by, sources_of
from spark_jobs.training_sets.kernel_pass import ROWS, STATE, STATE_NUMBER, TABLE_COLUMNS, table_pass
from spark_jobs.training_sets.labels import columns_of, label_rows, numbered

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

APP_ID = "features"
_MEANING = 1  # raise it if columns change their meaning or the kernel computes other bits: the table is then written as a whole
_MOST = 3  # rows in the table for each row of gold; beyond that, superseded rows take too much space


class StandsFor(msgspec.Struct, frozen=True):
    """The content of the table: features of the rows of gold in `sources`, for a plan and a fit (their hashes)."""

    sources: Sources
    plan: str
    fit: str
    meaning: int = _MEANING

    def goes_on_from(self, before: StandsFor) -> bool:
        """Whether the table with the content `before` holds the first part of these rows."""
        same = (before.plan, before.fit, before.meaning) == (self.plan, self.fit, self.meaning)
        return same and self.sources.holds(before.sources)


def bring_up(job: Job, plan: FeaturePlan, fit: Fit, gold: DataFrame, version: int) -> int | None:
    """Bring the table up to `gold`, which is that table at a version; returns the version of `features` with exactly its rows.

    Returns None, and changes nothing, if the table already holds a later gold, or holds something else while `version` is not the
    newest. Raises LakeError if another run wrote to the table meanwhile.
    """
    settings, name = job.settings, job.fleet.fleet
    wanted = StandsFor(sources_of(settings, job.fleet, version), plan.hash, fit.id)
    seen = held(settings, name, "features", APP_ID)
    before = _read(note_of(seen), job.fleet)
    if before is None or not wanted.goes_on_from(before):
        if version != table_version(settings, name, "gold"):
            return None
        return _write(job, plan, fit, all_rows(plan, gold), seen, wanted, "overwrite")
    if wanted.sources.rows_digest == before.sources.rows_digest:
        return seen.version
    if row_count(settings, name, "features") > _MOST * row_count(settings, name, "gold"):
        return _write(job, plan, fit, all_rows(plan, gold), seen, wanted, "overwrite")
    came = gold.where(between(before.sources.offsets, wanted.sources.offsets))
    states = _read_table(job, seen.version or 0).where(f"kind = '{STATE}'")
    mode = Replace(f"number = {STATE_NUMBER} OR number = {seen.number + 1}")  # no row has the second number yet
    return _write(job, plan, fit, new_rows(plan, gold, came, states), seen, wanted, mode)


def labelled_rows(job: Job, version: int, lives: DataFrame, ends: DataFrame, censoring: Censoring) -> DataFrame:
    """The rows of a training set (`columns_of`) from the table at a version; `lives` belong to `ends` (`labels.py`)."""
    from pyspark.sql import functions as f

    table = _read_table(job, version)
    rows, states = table.where(f"kind = '{ROWS}'").drop("since"), table.where(f"kind = '{STATE}'")
    counts = f.col("number") >= f.col("since")
    known = lives.join(states.select("device_id", "since"), "device_id")
    columns = ["device_id", "run", "order", "life_number", *ENDS, "split", "features"]
    found = numbered(rows, ends).join(known, list(LIFE)).where(counts).select(*columns)
    return found.mapInArrow(label_rows(job.fleet, censoring), columns_of(job.fleet))


def _write(
    job: Job,
    plan: FeaturePlan,
    fit: Fit,
    rows: DataFrame,
    seen: Held,
    wanted: StandsFor,
    mode: Literal["overwrite"] | Replace,
) -> int:
    """Send the rows through the kernel and commit the result; returns the new version."""
    settings, name, note = job.settings, job.fleet.fleet, msgspec.json.encode(wanted).decode()
    made = rows.mapInArrow(table_pass(job.fleet, plan, fit, seen.number + 1), TABLE_COLUMNS)
    commit(settings, job.fleet, "features", APP_ID, made, seen, note, mode)
    now = held(settings, name, "features", APP_ID)
    if note_of(now) != note or now.version is None:
        raise LakeError(
            f"{table_path(settings, name, 'features')}: another features job wrote to it meanwhile; run this job again"
        )
    return now.version


def _read_table(job: Job, version: int) -> DataFrame:
    return read_version(job.spark, job.settings, job.fleet, "features", version)


def _read(note: str, fleet: FleetSpec) -> StandsFor | None:
    """The content that the table's note names; None if there is none, or if a later release wrote it."""
    try:
        found = msgspec.json.decode(note, type=StandsFor)
    except msgspec.DecodeError:
        return None
    return msgspec.structs.replace(found, sources=known_by(found.sources, fleet))
