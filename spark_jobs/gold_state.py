"""The newest key of each device in gold: what tells a run of the gold job which rows cannot be there yet.

A table of one row per device, written after gold and noted with what gold held then. Where the note says otherwise (a run was
killed between the two), the keys are read from gold itself, and the next run writes them.
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
    """The newest key of each device in gold, which was made of `made_of`: device_id, run, order."""
    version = kept_at(job, made_of)
    return (
        newest_of(gold) if version is None else read_version(job.spark, job.settings, job.fleet, "gold_state", version)
    )


def kept_at(job: Job, made_of: Sources) -> int | None:
    """The version that the table has for gold as it is made of `made_of`; None where it was not written for it."""
    seen = held(job.settings, job.fleet.fleet, "gold_state", APP_ID)
    return seen.version if note_of(seen) == made_of.rows_digest else None


def newest_of(rows: DataFrame) -> DataFrame:
    """The newest key of each device among the rows: device_id, run, order."""
    from pyspark.sql import functions as f

    newest = rows.groupBy("device_id").agg(f.max(f.struct("run", "order")).alias("newest"))
    return newest.select("device_id", "newest.run", "newest.order")


def keep_state(job: Job, made_of: Sources, newest: DataFrame) -> None:
    """Write the newest keys of gold as it is made of `made_of`. Raises LakeError where another gold job has written since."""
    seen = held(job.settings, job.fleet.fleet, "gold_state", APP_ID)
    commit(job.settings, job.fleet, "gold_state", APP_ID, newest.coalesce(1), seen, made_of.rows_digest, "overwrite")
