"""The table `features`: feature rows of gold for one plan and fit, without labels, and each device's kernel state after them.

A run puts only what is new through the kernel (`kept_rows`). Its commit appends feature rows, numbered with the commit, and
replaces the state of all devices. Where a device had to begin anew, its rows of before stay in their files: its state says
`since` which number its rows count. Once these superseded rows are many, the table is written whole.

The commit's note says which rows of gold, plan and fit the table stands for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from aimaas.censoring import Censoring
from aimaas.errors import LakeError
from aimaas.fit import Fit
from aimaas.fleet import FleetSpec
from aimaas.lake import Held, held, row_count, table_path, table_version
from aimaas.plan import FeaturePlan
from spark_jobs.commits import Replace, commit, note_of
from spark_jobs.corrected import between
from spark_jobs.job import Job
from spark_jobs.kept_rows import all_rows, new_rows
from spark_jobs.kernel_pass import ROWS, STATE, STATE_NUMBER, TABLE_COLUMNS, table_pass
from spark_jobs.labels import ENDS, LIFE, columns_of, label_rows, numbered
from spark_jobs.session import read_version
from spark_jobs.sources import Sources, known_by, sources_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

APP_ID = "features"
_MEANING = 1  # raise it when columns mean something else or the kernel computes other bits: the table is then made anew
_MOST = 3  # rows in the table for each of gold; beyond it superseded ones take too much room


class StandsFor(msgspec.Struct, frozen=True):
    """What the table holds: features of the rows of gold made of `sources`, for a plan and a fit (their hashes)."""

    sources: Sources
    plan: str
    fit: str
    meaning: int = _MEANING

    def goes_on_from(self, before: StandsFor) -> bool:
        """Whether the table that stands for `before` has the first part of these rows."""
        same = (before.plan, before.fit, before.meaning) == (self.plan, self.fit, self.meaning)
        return same and self.sources.holds(before.sources)


def bring_up(job: Job, plan: FeaturePlan, fit: Fit, gold: DataFrame, version: int) -> int | None:
    """Bring the table up to `gold`, which is that table at a version; the version of `features` that has just its rows.

    None where the table has moved on, or holds something else and `version` is not the newest: it then stays as it is.
    Raises LakeError where another run wrote to it meanwhile.
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
    """The rows of a training set (`columns_of`) of the table at a version; `lives` are those of `ends` (`spark_jobs.labels`)."""
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
    """Put the rows through the kernel and commit what comes out; the version that this makes."""
    settings, name, note = job.settings, job.fleet.fleet, msgspec.json.encode(wanted).decode()
    made = rows.mapInArrow(table_pass(job.fleet, plan, fit, seen.number + 1), TABLE_COLUMNS)
    commit(settings, job.fleet, "features", APP_ID, made, seen, note, mode)
    now = held(settings, name, "features", APP_ID)
    if note_of(now) != note or now.version is None:
        raise LakeError(
            f"{table_path(settings, name, 'features')}: another features job wrote to it meanwhile; run this one again"
        )
    return now.version


def _read_table(job: Job, version: int) -> DataFrame:
    return read_version(job.spark, job.settings, job.fleet, "features", version)


def _read(note: str, fleet: FleetSpec) -> StandsFor | None:
    """What the table was noted with; None where there is none, or a later release wrote it."""
    try:
        found = msgspec.json.decode(note, type=StandsFor)
    except msgspec.DecodeError:
        return None
    return msgspec.structs.replace(found, sources=known_by(found.sources, fleet))
