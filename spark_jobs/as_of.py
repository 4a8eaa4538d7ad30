"""Tables as they were at a version, even if a vacuum has deleted the files of that version.

Gold and outcomes are only appended to, in the order of offsets. So the rows of an older version are the rows of the present
version below the offsets of the older one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aimaas.errors import LakeError
from aimaas.lake import Table, ends_at, has_files, table_path, table_version
from spark_jobs.corrected_view.frames import between
from spark_jobs.job import Job
from spark_jobs.session import read_version
from spark_jobs.sources import sources_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def gold_as_of(job: Job, version: int) -> DataFrame:
    """Gold at a version. Raises LakeError if that version cannot be read any more."""
    settings, fleet = job.settings, job.fleet
    if has_files(settings, fleet.fleet, "gold", version):
        return read_version(job.spark, settings, fleet, "gold", version)
    then, newest = sources_of(settings, fleet, version), _newest(job, "gold")
    if not sources_of(settings, fleet, newest).goes_on_from(then):
        raise LakeError(
            f"{table_path(settings, fleet.fleet, 'gold')}: version {version} cannot be read any more: a vacuum deleted its files, "
            "and gold has been written as a whole since; use the frozen training set that the registry names"
        )
    return read_version(job.spark, settings, fleet, "gold", newest).where(between({}, then.offsets))


def outcomes_as_of(job: Job, version: int) -> DataFrame:
    """Outcomes at a version."""
    settings, fleet = job.settings, job.fleet
    if has_files(settings, fleet.fleet, "outcomes", version):
        return read_version(job.spark, settings, fleet, "outcomes", version)
    rows = read_version(job.spark, settings, fleet, "outcomes", _newest(job, "outcomes"))
    return rows.where(between({}, ends_at(settings, fleet.fleet, "outcomes", version)))


def _newest(job: Job, table: Table) -> int:
    return table_version(job.settings, job.fleet.fleet, table) or 0
