"""The newest key of each device in gold. A row with a newer key cannot be in gold yet, so the gold job does not look for it.

The table has one row per device. It is written after gold, and its note says which rows gold held. If the note does not fit (a run
was killed between the two commits), the keys are read from gold itself, and the next run writes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aimaas.lake import held
from spark_jobs.commits import commit, note_of
from spark_jobs.job import Job
from spark_jobs.session import read_version
from spark_jobs.sources import Sources

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

APP_ID = "gold"


def newest_keys(job: Job, made_of: Sources, gold: DataFrame) -> DataFrame:
    """The newest key of each device in gold, which consists of `made_of`: device_id, run, order."""
    version = kept_at(job, made_of)
    return (
        newest_of(gold) if version is None else read_version(job.spark, job.settings, job.fleet, "gold_state", version)
    )


def kept_at(job: Job, made_of: Sources) -> int | None:
    """The version of the table that belongs to gold made of `made_of`; None if there is none."""
    seen = held(job.settings, job.fleet.fleet, "gold_state", APP_ID)
    return seen.version if note_of(seen) == made_of.rows_digest else None


def newest_of(rows: DataFrame) -> DataFrame:
    """The newest key of each device among the rows: device_id, run, order."""
    from pyspark.sql import functions as f

    newest = rows.groupBy("device_id").agg(f.max(f.struct("run", "order")).alias("newest"))
    return newest.select("device_id", "newest.run", "newest.order")


def keep_state(job: Job, made_of: Sources, newest: DataFrame) -> None:
    """Write the newest keys of gold made of `made_of`. Raises LakeError if another gold job has written meanwhile."""
    seen = held(job.settings, job.fleet.fleet, "gold_state", APP_ID)
    commit(job.settings, job.fleet, "gold_state", APP_ID, newest.coalesce(1), seen, made_of.rows_digest, "overwrite")
